"""Retrain: a pinned snapshot and the serving version in, a gated challenger out."""

import logging
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Max

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.data.snapshots import snapshot_create
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import GateDecision, Job, ModelVersion, Project, Snapshot, TrainingRun
from toolbox.training_effects import idle_of_run
from toolbox.training_settings import SETTABLE

from .gate_looks import check_holdout
from .gating import run_judge
from .model_weights import model_folder
from .models_folder import model_folder_register
from .report_making import gate_reports_make
from .run_files import check_room, run_folder
from .run_log import RunLog
from .run_retention import run_tidy
from .trainer_data import fetch_images, trainer_data
from .trainer_process import run_trainer

log = logging.getLogger(__name__)


def retrain_start(
    *,
    project: Project,
    user: AbstractBaseUser | None,
    config: dict[str, Any] | None = None,
    force: bool = False,
    trigger: str = "",
) -> Job:
    """Pin a snapshot (`config["snapshot"]`, a number, or a fresh one) and enqueue; every refusal says what to do.

    `trigger`: what asked for it, one of TrainingRun.Trigger.
    """
    config = dict(config or {})
    number = config.pop("snapshot", None)
    check_config(config)
    _check_idle(project)
    model_folder(project.serving_version)
    check_room(project=project, version=project.serving_version, config=config)  # before a snapshot is written
    snapshot = _snapshot(project, user, number)
    _check_trainable(snapshot)
    check_holdout(snapshot=snapshot)
    if not force:
        _check_news(project, snapshot, config)
    return _enqueue(project, user, snapshot, config, trigger)


def _trainer_logs(job: Job) -> list[tuple[str, Path]]:
    run = getattr(job, "training_run", None)
    if run is None:
        return []
    folder = run_folder(run)
    return [("Trainer", folder / "log.txt"), ("Trainer, judging", folder / "gate" / "log.txt")]


@job_kind(Job.Kind.RETRAIN, queue="training", logs=_trainer_logs)
def retrain_run(context: JobContext) -> dict:
    """Train, register, judge. Run again after a crash it goes on: the trainer resumes, rows and reports stay."""
    run = TrainingRun.objects.select_related("project__serving_version", "snapshot", "base_version").get(
        job=context.job
    )
    context.when_ended(lambda: _tidy(run.pk))
    if run.version is None:
        check_room(project=run.project, version=run.base_version, config=run.config, run=run)
        _register(run, _train(context, run))
    gate = GateDecision.objects.filter(run=run).first() or run_judge(
        context, run, run.snapshot, run_folder(run) / "gate"
    )
    gate_reports_make(context, gate)
    version = run.version
    assert version is not None
    return {"run": run.number, "version": version.name, "decision": gate.decision, "gate": gate.report}


def _tidy(run_id: int) -> None:
    try:
        run_tidy(run=TrainingRun.objects.select_related("project", "job").get(pk=run_id))
    except OSError:  # the run has ended, whatever its files do; the sweep tries again
        log.warning("The files of training run %s could not be tidied.", run_id, exc_info=True)


def check_config(config: dict[str, Any]) -> None:
    if unknown := sorted(set(config) - set(SETTABLE)):
        allowed = ", ".join(sorted(SETTABLE))
        raise RoostError(f"These can't be set for a run: {', '.join(unknown)}. What can: {allowed}.")
    if wrong := sorted(name for name, value in config.items() if not _is_plain(value)):
        raise RoostError(f"A run's settings are numbers, words or true and false; wrong: {', '.join(wrong)}.")
    for name, value in config.items():
        if refusal := SETTABLE[name].refusal(value):
            raise RoostError(refusal)
    if refusal := idle_of_run(config):
        raise RoostError(refusal)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _check_idle(project: Project) -> None:
    if project.jobs.filter(kind=Job.Kind.RETRAIN, state__in=Job.IN_FLIGHT).exists():
        raise ConflictError("A retrain is under way in this project; wait for it or cancel it.", code="already_running")


def _snapshot(project: Project, user: AbstractBaseUser | None, number: Any) -> Snapshot:
    if number is None:
        return snapshot_create(project=project, user=user)
    snapshot = project.snapshots.filter(number=number).first() if isinstance(number, int) else None
    if snapshot is None:
        raise RoostError(f"This project has no snapshot {number}; take one first.", code="unknown_snapshot")
    return snapshot


def _check_trainable(snapshot: Snapshot) -> None:
    """CGF1 is 0 without positives or without negatives, whatever the masks: then nothing can be chosen or judged."""
    for split, words, code in (
        ("train", "to learn from", "untrainable_snapshot"),
        ("val", "to choose the best checkpoint by", "untrainable_snapshot"),
        ("holdout", "to judge the new model by", "ungateable_holdout"),
    ):
        counts = snapshot.counts.get(split, {})
        if split != "train":  # what is not wholly outlined teaches, but judges nothing
            counts = counts | {"positives": counts.get("positives", 0) - counts.get("not_exhaustive", 0)}
        lacking = [kind for kind in ("positives", "negatives") if counts.get(kind, 0) <= 0]
        if lacking:
            sentence = (
                f"The snapshot has no {' and no '.join(lacking)} in its {split} split {words}. "
                f"Have some {split} images labelled and approved (a pair counts as negative once a person "
                "said «not in this image»), then start again."
            )
            if split == "holdout":
                sentence += " Mining never queues the holdout: a button on the training page does, at random."
            raise RoostError(sentence, code=code)


def _check_news(project: Project, snapshot: Snapshot, config: dict[str, Any]) -> None:
    last = project.training_runs.filter(version__isnull=False).first()
    if last is not None and last.snapshot_id == snapshot.pk and last.config == config:
        words = f"Nothing has been approved since run {last.number}: it learned from this very snapshot. "
        raise RoostError(f"{words}Label and approve some more first, or change the run's settings.", code="no_news")


@transaction.atomic
def _enqueue(
    project: Project, user: AbstractBaseUser | None, snapshot: Snapshot, config: dict[str, Any], trigger: str
) -> Job:
    Project.objects.select_for_update().get(pk=project.pk)
    job = job_enqueue(project=project, kind=Job.Kind.RETRAIN, params={"config": config}, created_by=user)
    highest = project.training_runs.aggregate(highest=Max("number"))["highest"] or 0
    audit_record(project=project, actor=user, action="run.start", subject=f"run {highest + 1}", trigger=trigger)
    TrainingRun.objects.create(
        project=project,
        number=highest + 1,
        trigger=trigger,
        job=job,
        snapshot=snapshot,
        base_version=project.serving_version,
        config=config,
        hour_price=project.hour_price,
        currency=project.currency,
    )
    return job


def _tracking(run: TrainingRun) -> dict[str, Any]:
    """Which trackers are told of the run, as the operator set them; all projects share one folder."""
    return {
        "trackers": list(settings.TRACKERS),
        "tracking_folder": str(settings.RUNS_DIR / "tracking"),
        "tracking_project": run.project.slug,
        "run_name": f"{run.project.slug}-{run.number}",
        "mlflow_uri": settings.MLFLOW_URI or None,
        "data_revision": run.snapshot.data_revision or None,
    }


def _train(context: JobContext, run: TrainingRun) -> dict[str, Any]:
    config = (
        trainer_data(run.snapshot) | _tracking(run) | {"base_model": str(model_folder(run.base_version))} | run.config
    )
    fetch_images(context, run.snapshot)
    with RunLog(run, context, verb="train") as log:
        return run_trainer("train", config, run_folder(run), log.take, context.should_stop)


def _register(run: TrainingRun, manifest: dict[str, Any]) -> None:
    """The trained model becomes a version that can be asked for. Its files come first: a row promises that they lie."""
    name = f"{run.project.slug}-v{run.number}"
    model_folder_register(name=name, source=run_folder(run) / "model")
    with transaction.atomic():
        version = ModelVersion.objects.create(
            name=name,
            project=run.project,
            parent=run.base_version,
            weights_hash=manifest.get("weights_hash", ""),
            backbone_hash=manifest.get("backbone_hash", ""),
            base_hash=manifest.get("base_weights_hash", ""),
            code_revision=manifest.get("code_revision", ""),
            packages=manifest.get("packages", {}),
            metrics={
                "val": manifest.get("metrics", {}),
                "recipe": manifest.get("recipe", ""),
                "presence_calibration": manifest.get("presence_calibration", {}),
                "config": _settable(manifest.get("config", {})),
            },
        )
        TrainingRun.objects.filter(pk=run.pk).update(version=version)
        # The shipped model's row knows no hash until something was trained from it.
        unnamed = ModelVersion.objects.filter(pk=run.base_version_id, weights_hash="")
        unnamed.update(weights_hash=version.base_hash)
        audit_record(project=run.project, actor=None, action="version.register", subject=name, run=run.number)
    run.version = version


def _settable(config: dict[str, Any]) -> dict[str, Any]:
    """What a run's result follows from and the choices it came from, without the machine's paths."""
    return {name: value for name, value in config.items() if name in SETTABLE or name == "groups"}
