"""A run's challenger against what serves, on a snapshot's holdout: after training, or again when more is labelled."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError
from annotator.data.image_files import images_fetch
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshots import snapshot_create, snapshot_images
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Evaluation, GateDecision, Job, ModelVersion, Project, Snapshot, TrainingRun

from .gate_looks import check_holdout, looks_at
from .model_weights import model_folder
from .report_making import gate_reports_make
from .run_files import features_folder, run_folder
from .run_log import RunLog
from .trainer_process import run_trainer


def gate_ask(*, run: TrainingRun, user: AbstractBaseUser | None) -> Job:
    """Judge the run's version again, on a fresh snapshot's holdout; nothing is trained. A look counts as each does."""
    if run.version is None:
        raise ConflictError(f"Run {run.number} has no version yet: there is nothing to judge.", code="no_version")
    if run.project.serving_version_id == run.version_id:
        raise ConflictError(f"{run.version.name} serves: it would be judged against itself.", code="serves_already")
    if run.project.jobs.filter(kind=Job.Kind.GATE, state__in=Job.IN_FLIGHT).exists():
        raise ConflictError("The gate is being asked already; wait for its answer.", code="already_running")
    snapshot = snapshot_create(project=run.project, user=user)
    newest = run.gates.order_by("-pk").first()
    if newest and (newest.snapshot_id, newest.champion_id) == (snapshot.pk, run.project.serving_version_id):
        raise ConflictError(
            "Nothing has changed since the gate's last answer: label and approve more of the holdout first.",
            code="nothing_new",
        )
    check_holdout(snapshot=snapshot, trained_on=run.snapshot)
    params = {"run": run.number, "snapshot": snapshot.number}
    return job_enqueue(project=run.project, kind=Job.Kind.GATE, params=params, created_by=user)


def _run_of(job: Job) -> TrainingRun:
    runs = TrainingRun.objects.select_related("project", "snapshot", "version", "base_version")
    return runs.get(project=job.project, number=job.params["run"])


def _folder(job: Job) -> Path:
    return run_folder(_run_of(job)) / f"gate-{job.pk}"


@job_kind(Job.Kind.GATE, queue="training", logs=lambda job: [("Trainer, judging", _folder(job) / "log.txt")])
def gate_again(context: JobContext) -> dict:
    job, run = context.job, _run_of(context.job)
    snapshot = Snapshot.objects.select_related("project").get(project=job.project, number=job.params["snapshot"])
    gate = run_judge(context, run, snapshot, _folder(job))
    return {"run": run.number, "decision": gate.decision}


def run_judge(context: JobContext, run: TrainingRun, snapshot: Snapshot, out: Path) -> GateDecision:
    """Champion (what serves now), challenger and the model as shipped, on the snapshot's holdout."""
    roles = _roles(run)
    asked = {
        **{role: str(model_folder(version)) for role, version in roles.items()},
        "policy": run.project.gate_policy,
        "looks": looks_at(snapshot=snapshot),
        "seed": run.config.get("seed", 0),
        "trained_on": str(snapshot_folder(run.snapshot)),
    }
    fetch_images(context, snapshot)
    with RunLog(run, context, verb="gate") as log:
        manifest = run_trainer("gate", trainer_data(snapshot) | asked, out, log.take, context.should_stop)
    gate = _decided(run, snapshot, manifest, roles, _samples(out))
    gate_reports_make(context, run=run, snapshot=snapshot, roles=roles, gate=out)
    return gate


def _roles(run: TrainingRun) -> dict[str, ModelVersion]:
    assert run.version is not None
    champion = Project.objects.select_related("serving_version").get(pk=run.project_id).serving_version
    first = run.project.deployments.select_related("version").order_by("pk").first()
    return {"champion": champion, "challenger": run.version, "baseline": first.version if first else champion}


def trainer_data(snapshot: Snapshot) -> dict[str, Any]:
    """What both verbs read; backbone features are made once for all runs, and read where mining has made them."""
    return {
        "snapshot": str(snapshot_folder(snapshot)),
        "images": str(settings.IMAGES_DIR),
        "features": str(features_folder()),
        "features_read_also": str(settings.VAR_DIR / "embeddings"),
        "kept_free_mib": settings.SERVING_GPU_MB,
    }


def fetch_images(context: JobContext, snapshot: Snapshot) -> None:
    """The trainer reads a folder: what only the bucket holds is fetched first."""
    if settings.IMAGES_BUCKET:

        def show(done: int, of: int) -> None:
            context.progress(0.0, f"{done} of {of} images fetched")

        images_fetch(sha256s=snapshot_images(snapshot), on_progress=show)


def _samples(out: Path) -> dict[str, list]:
    """The same few holdout pairs, which nobody labels, as champion and challenger see them (docs/data.md)."""
    report = json.loads((out / "report.json").read_text())
    return {"before": report["champion"]["samples"], "after": report["challenger"]["samples"]}


@transaction.atomic
def _decided(
    run: TrainingRun, snapshot: Snapshot, manifest: dict, roles: dict[str, ModelVersion], samples: dict
) -> GateDecision:
    for role, version in roles.items():
        Evaluation.objects.update_or_create(
            version=version,
            snapshot=snapshot,
            split="holdout",
            defaults={"project": run.project, "metrics": manifest[role]},
        )
    challenger = roles["challenger"]
    challenger.metrics = {**challenger.metrics, "holdout": manifest["challenger"]}
    if manifest["decision"] == GateDecision.Decision.PROMOTE:
        challenger.stage = ModelVersion.Stage.PRODUCTION_CANDIDATE
    challenger.save(update_fields=["metrics", "stage"])
    audit_record(
        project=run.project, actor=None, action="gate.decide", subject=challenger.name, decision=manifest["decision"]
    )
    gate = GateDecision.objects.create(
        project=run.project,
        run=run,
        snapshot=snapshot,
        champion=roles["champion"],
        challenger=challenger,
        decision=manifest["decision"],
        reasons=manifest["reasons"],
        report=manifest,
    )
    TrainingRun.objects.filter(pk=run.pk).update(samples=run.samples | samples, gate=gate)
    return gate
