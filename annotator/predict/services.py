"""Predictions as jobs: a person names a source that the server's owner has opened, or sends a zip; a zip comes out."""

import hashlib
import json
import shutil
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.core.files.uploadedfile import UploadedFile

from annotator.common.active import concepts_active
from annotator.common.errors import JobCancelled, RoostError
from annotator.data.named_sources import source_allowed, source_of_job
from annotator.data.uploads import upload_delete, upload_forget, upload_keep
from annotator.jobs.downloads import download_written
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Job, Project
from annotator.registry.models_page import versions_of

from .journal import DOCUMENTS, JOURNAL
from .predictions import OnProgress, PredictionRequest, predictions_write

MAX_CONCEPTS, MAX_CONCEPT_CHARACTERS = 64, 80  # what the ML backend takes in one request
REPORTED_REFUSALS = 500
# What a failed job has so far stays so long, for the same request to go on with.
KEEP_PARTIAL_SECONDS = 7 * 24 * 3600


def predict_start(
    *,
    project: Project,
    user: AbstractBaseUser | None,
    source: str = "",
    upload: UploadedFile | None = None,
    version: str = "",
    concepts: Sequence[str] = (),
    threshold: float = 0.5,
) -> Job:
    """Queue predictions on a source, or on an uploaded zip; by default with the project's own version and concepts."""
    if bool(source) == bool(upload):
        raise RoostError("Name a folder or bucket, or send a zip: one of the two.", fields={"source": ["One of two."]})
    params = {
        "version": _version(project, version),
        "concepts": _concepts(project, concepts),
        "threshold": threshold,
        "path": source_allowed(source) if source else "",
        "named": source,
        "named_by_person": bool(source),
    }
    if upload:
        _check_size(upload)
        params |= {"path": str(upload_keep([upload])), "named": str(upload.name)[:200]}
    return job_enqueue(project=project, kind=Job.Kind.PREDICT, params=params, created_by=user)


@job_kind(Job.Kind.PREDICT, queue="inference", forget=upload_forget)
def predict_run(context: JobContext) -> dict[str, Any]:
    """The job's work. After a worker that died or was stopped, or when asked for again after a failure, it goes on."""
    params = context.job.params
    partial = _partial_folder(context.job)
    _sweep_partials()
    context.when_ended(lambda: upload_delete(params["path"]))
    try:
        with source_of_job(params) as source:
            request = PredictionRequest(params["version"], params["concepts"], params["threshold"])
            show = _progress_shown(context)
            manifest = predictions_write(
                source=source, named=params["named"], request=request, out=partial, on_progress=show
            )
        name, size = _packed(context.job, partial)
    except JobCancelled:
        if context.stop_reason == "cancelled":
            shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(partial)
    refused = manifest.pop("refused")
    left_out = {"refused": refused[:REPORTED_REFUSALS], "more_refused": max(len(refused) - REPORTED_REFUSALS, 0)}
    return {"file": name, "bytes": size, **manifest, **left_out}


def prediction_file(*, job: Job) -> Path:
    """Where a finished job's zip lies; RoostError when there is none (any more)."""
    name = job.report.get("file") if job.kind == Job.Kind.PREDICT else None
    path = settings.EXPORTS_DIR / str(name)
    if not name or not path.is_file():
        words = "This job has no file to download: it is not done, or was done long ago. Predict again."
        raise RoostError(words, code="no_file", http_status=409)
    return path


def _check_size(upload: UploadedFile) -> None:
    if (upload.size or 0) > settings.MAX_UPLOAD_BYTES:
        limit = settings.MAX_UPLOAD_BYTES // 1024**2
        raise RoostError(f"That is more than {limit} MiB at once; send it in parts, or open a folder for it.")


def _version(project: Project, name: str) -> str:
    known = [row.name for row in versions_of(project=project)] if name else []
    if name and name not in known:
        words = f"This project has no version {name!r}; it has {', '.join(known)}."
        raise RoostError(words, code="unknown_version", fields={"version": ["Unknown."]})
    return name or project.serving_version.name


def _concepts(project: Project, names: Sequence[str]) -> list[str]:
    chosen = list(dict.fromkeys(" ".join(name.split()) for name in names)) or [
        row.name for row in concepts_active(project=project)
    ]
    if not chosen or not all(0 < len(name) <= MAX_CONCEPT_CHARACTERS for name in chosen) or len(chosen) > MAX_CONCEPTS:
        words = f"Name 1 to {MAX_CONCEPTS} noun phrases of at most {MAX_CONCEPT_CHARACTERS} characters to look for."
        raise RoostError(words, fields={"concepts": [words]})
    return chosen


def _progress_shown(context: JobContext) -> OnProgress:
    def show(done: int, of: int, what: str, seconds_left: float | None) -> None:
        context.progress(0.98 * done / of, f"{done} of {of} {what}", seconds_left)

    return show


def _partial_folder(job: Job) -> Path:
    """One for each request, so that a second job of the same goes on; an upload is a request of its own."""
    request = json.dumps([job.project_id, job.params], sort_keys=True).encode()
    return settings.VAR_DIR / "predictions" / hashlib.sha256(request).hexdigest()[:16]


def _sweep_partials() -> None:
    root = settings.VAR_DIR / "predictions"
    for journal in root.glob(f"*/{JOURNAL}"):
        if time.time() - journal.stat().st_mtime > KEEP_PARTIAL_SECONDS:
            shutil.rmtree(journal.parent, ignore_errors=True)


def _packed(job: Job, folder: Path) -> tuple[str, int]:
    """The documents as one zip among the exports."""
    name = f"{job.project.slug}-{job.pk}-predictions.zip"
    with download_written(name=name, compression=zipfile.ZIP_DEFLATED) as archive:
        for document in DOCUMENTS:
            archive.write(folder / document, document)
    return name, (settings.EXPORTS_DIR / name).stat().st_size
