"""Snapshots: approved pairs, frozen as SA-Co documents under the hash of their content."""

import heapq
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Max

from annotator.common.active import concepts_active, pairs_active
from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Annotation, Job, Pair, Project, Snapshot
from toolbox.files import folder_written_whole, make_folder

from .labour import labour_of
from .pseudo_labels import pseudo_pairs
from .snapshot_documents import COLUMNS, SettledPair, Written, canonical, documents_write, settled_pair
from .snapshot_folders import own_folder, snapshot_folder, snapshot_numbered
from .snapshot_names import Words, snapshot_describe, words_checked
from .snapshot_reading import lines_of
from .snapshot_rows import snapshot_index

UNFINISHED = ".unfinished-"
UNFINISHED_KEPT_SECONDS = 24 * 3600


def snapshot_start(*, project: Project, user: AbstractBaseUser | None, **words: str) -> Job:
    """Enqueue a snapshot with its `name`, `notes` and `tag`, if any; refused when nothing is approved yet."""
    _check_any(project)
    checked = words_checked(project=project, words=Words(**words))
    return job_enqueue(project=project, kind=Job.Kind.SNAPSHOT, params=checked.given(), created_by=user)


@job_kind(Job.Kind.SNAPSHOT)
def snapshot_run(context: JobContext) -> dict:
    """The job's body: its report names the snapshot, which may be an older one of the same content."""
    context.progress(0.1, "Writing down what is approved")
    job = context.job
    snapshot = snapshot_create(project=job.project, user=job.created_by)
    notes = _describe(snapshot, job)
    return {
        "snapshot": snapshot.number,
        "content_hash": snapshot.content_hash,
        "counts": snapshot.counts,
        "notes": notes,
    }


def _describe(snapshot: Snapshot, job: Job) -> str:
    """Words that an older snapshot of the same content has already are not overwritten; what was not taken is told."""
    given = {key: text for key, text in job.params.items() if text}
    taken = {key: text for key, text in given.items() if not getattr(snapshot, key)}
    if taken:
        snapshot_describe(snapshot=snapshot, user=job.created_by, **taken)
    if kept := sorted(key for key in given if given[key] != getattr(snapshot, key)):
        words = f"Snapshot {snapshot.number} has the same content, and keeps what it has of its own as"
        return f"{words} {' and '.join(kept)}."
    return ""


def snapshot_create(*, project: Project, user: AbstractBaseUser | None) -> Snapshot:
    """Write the documents and their row. The same approved pairs again answer the same snapshot."""
    _check_any(project)
    # Before the documents: what is answered meanwhile may not be in them.
    labour = labour_of(answers=Annotation.objects.filter(task__project=project)).plain()
    with _unfinished(project) as folder:
        written = documents_write(folder=folder, pairs=_pairs(project))
        if not any(counts["pairs"] for counts in written.counts.values()):
            raise RoostError("Nothing that is approved has a mask yet; outline some instances first.")
        (folder / "manifest.json").write_bytes(canonical(_manifest(project, written)))
        _keep(folder, own_folder(project, written.content_hash))
    snapshot, is_new = _row(project, written, labour, user)
    snapshot_index(snapshot=snapshot, answers=written.answers if is_new else None)
    return snapshot


def snapshot_asked(*, project: Project, number: int | None, user: AbstractBaseUser | None) -> Snapshot:
    """The one of that number, or a fresh one."""
    if number is None:
        return snapshot_create(project=project, user=user)
    return snapshot_numbered(project=project, number=number)


def snapshot_images(snapshot: Snapshot) -> list[str]:
    """The hashes of all its images, each once, in order."""
    return list(dict.fromkeys(line["file_name"] for line in lines_of(snapshot_folder(snapshot))))


def _check_any(project: Project) -> None:
    if not pairs_active(project=project).exclude(truth=Pair.Truth.UNSEEN).exists():
        words = "Nothing is approved yet: label some images, have them reviewed, then take the snapshot."
        raise RoostError(words, code="nothing_approved")


def _pairs(project: Project) -> Iterator[SettledPair]:
    """What people settled, and where the project wants it what the model settles by itself."""
    return heapq.merge(_settled(project), pseudo_pairs(project=project), key=attrgetter("sha256"))


def _settled(project: Project) -> Iterator[SettledPair]:
    """In the order of image hashes, by one statement: what is settled meanwhile is in all of it or in nothing of it."""
    settled = pairs_active(project=project).exclude(truth=Pair.Truth.UNSEEN).order_by("image__sha256")
    return map(settled_pair, settled.values(*COLUMNS).iterator(chunk_size=500))


@contextmanager
def _unfinished(project: Project) -> Iterator[Path]:
    """A folder to write to, beside the finished ones: its name, the hash, is known only at its end."""
    parent = settings.SNAPSHOTS_DIR / project.slug
    make_folder(parent)
    for left in parent.glob(f"{UNFINISHED}*"):  # by a worker that was killed
        if time.time() - left.stat().st_mtime > UNFINISHED_KEPT_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=parent) as folder:
        yield Path(folder)


def _keep(written: Path, target: Path) -> None:
    """All files or none."""
    if target.exists():
        return
    try:
        with folder_written_whole(target) as beside:
            for file in written.iterdir():
                os.replace(file, beside / file.name)
    except OSError:
        # Somebody else wrote the same content meanwhile: that is as good. Anything else is an error.
        if not target.exists():
            raise


def _manifest(project: Project, written: Written) -> dict[str, Any]:
    concepts = concepts_active(project=project).values("name", "category_id")
    return {
        "format": "sa-co",
        "content_hash": written.content_hash,
        "project": project.slug,
        "concepts": list(concepts),
        "counts": written.counts,
        "files": written.files,
    }


@transaction.atomic
def _row(
    project: Project, written: Written, labour: dict[str, Any], user: AbstractBaseUser | None
) -> tuple[Snapshot, bool]:
    """The row, and whether it is new."""
    # Numbers are given out one at a time a project.
    Project.objects.select_for_update().get(pk=project.pk)
    content_hash = written.content_hash
    if existing := project.snapshots.filter(content_hash=content_hash).first():
        return existing, False
    highest = project.snapshots.aggregate(highest=Max("number"))["highest"] or 0
    snapshot = Snapshot.objects.create(
        project=project,
        number=highest + 1,
        content_hash=content_hash,
        counts=written.counts,
        labour=labour,
        created_by=user,
    )
    audit_record(
        project=project, actor=user, action="snapshot.create", subject=snapshot.number, content_hash=content_hash
    )
    return snapshot, True
