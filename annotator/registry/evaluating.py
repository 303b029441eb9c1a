"""Evaluations by themselves: any version, on a split of any snapshot, whenever somebody asks."""

from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.data.snapshot_folders import snapshot_folder, snapshot_numbered
from annotator.data.snapshots import snapshot_asked
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Evaluation, Image, Job, ModelVersion, Project, Snapshot
from toolbox.presets import PRESETS

from .judge_log import JudgeLog
from .judged_files import evaluation_folder, kept_as
from .model_weights import model_folder
from .report_making import evaluation_report_make
from .trainer_data import fetch_images, trained_on, trainer_data
from .trainer_process import run_trainer

SPLITS = (Image.Split.VAL, Image.Split.TEST, Image.Split.HOLDOUT)  # what no model learns from


def evaluation_ask(
    *,
    project: Project,
    version: ModelVersion,
    user: AbstractBaseUser | None,
    snapshot: int | None = None,
    split: str = Image.Split.HOLDOUT,
    preset: str = "",
) -> Job:
    """Enqueue it; `snapshot`: a number, or a fresh one is taken. `preset`: what the model is for, or the project's.

    On the holdout it counts as a look: see gate_looks.py.
    """
    check_belongs(project, version)
    if split not in SPLITS:
        raise RoostError(f"A version is evaluated on {', '.join(SPLITS)}, not on «{split}».", fields={"split": [split]})
    preset = preset or project.preset
    if preset not in PRESETS:
        raise RoostError(f"There is no preset «{preset}»: there are {', '.join(PRESETS)}.", fields={"preset": [preset]})
    model_folder(version)
    frozen = snapshot_asked(project=project, number=snapshot, user=user)
    _check_judgeable(frozen, split)
    params = {"version": version.name, "snapshot": frozen.number, "split": split, "preset": preset}
    with transaction.atomic():
        Project.objects.select_for_update().only("pk").get(pk=project.pk)
        _check_news(project, version, frozen, split)
        return job_enqueue(project=project, kind=Job.Kind.EVALUATE, params=params, created_by=user)


def check_belongs(project: Project, version: ModelVersion) -> None:
    if version.project_id not in (None, project.pk):
        raise RoostError("This version belongs to another project.", code="unknown_version", http_status=404)


def _check_judgeable(snapshot: Snapshot, split: str) -> None:
    counts = snapshot.counts.get(split, {})
    if counts.get("pairs", 0) - counts.get("not_exhaustive", 0) <= 0:
        raise RoostError(
            f"Snapshot {snapshot.number} has no pair in its {split} split in which everything is outlined: nothing "
            "can be judged by it. Have some labelled and approved, or name another split.",
            code="unjudgeable_split",
        )


def _check_news(project: Project, version: ModelVersion, snapshot: Snapshot, split: str) -> None:
    asked = {"params__version": version.name, "params__snapshot": snapshot.number, "params__split": split}
    if project.jobs.filter(kind=Job.Kind.EVALUATE, state__in=Job.IN_FLIGHT, **asked).exists():
        raise ConflictError(f"{version.name} is being evaluated on this already; wait.", code="already_running")
    known = Evaluation.objects.filter(project=project, version=version, snapshot=snapshot, split=split)
    for evaluation in known.exclude(folder=""):
        if "" in (evaluation.weights_hash, version.weights_hash) or evaluation.weights_hash == version.weights_hash:
            words = f"{version.name} was evaluated on the {split} split of snapshot {snapshot.number} already: "
            raise ConflictError(f"{words}evaluation {evaluation.pk}.", code="nothing_new")


@job_kind(
    Job.Kind.EVALUATE, queue="training", logs=lambda job: [("Trainer, judging", evaluation_folder(job) / "log.txt")]
)
def evaluate_run(context: JobContext) -> dict[str, Any]:
    """Run again after a crash it judges again, into the same folder; what has a row or a report is not redone."""
    made = context.job.evaluations.first() or _evaluate(context, context.job)
    evaluation_report_make(context, made)
    return {
        "evaluation": made.pk,
        "version": made.version.name,
        "split": made.split,
        "snapshot": made.snapshot.number,
        **{name: made.metrics.get(name) for name in ("cgf1", "pmf1", "il_mcc")},
    }


def _evaluate(context: JobContext, job: Job) -> Evaluation:
    asked = job.params
    version = ModelVersion.objects.get(name=asked["version"])
    snapshot = snapshot_numbered(project=job.project, number=asked["snapshot"])
    learnt = trained_on(version, job.project)
    config = trainer_data(snapshot) | {"model": str(model_folder(version)), "split": asked["split"]}
    if learnt is not None and asked["split"] != Image.Split.VAL:  # the checkpoint was chosen by val: the page says so
        config["trained_on"] = str(snapshot_folder(learnt))
    fetch_images(context, snapshot)
    out = evaluation_folder(job)
    manifest = run_trainer("evaluate", config, out, JudgeLog(context, models=1).take, context.should_stop)
    return _kept(job, version, snapshot, manifest, out)


@transaction.atomic
def _kept(job: Job, version: ModelVersion, snapshot: Snapshot, manifest: dict[str, Any], out: Path) -> Evaluation:
    split, preset = job.params["split"], job.params["preset"]
    counts = {"pairs": manifest["pairs"], "left_out_not_exhaustive": manifest["left_out_not_exhaustive"]}
    audit_record(
        project=job.project, actor=job.created_by, action="version.evaluate", subject=version.name, split=split,
        snapshot=snapshot.number,
    )  # fmt: skip
    return Evaluation.objects.create(
        project=job.project,
        version=version,
        snapshot=snapshot,
        split=split,
        metrics=manifest["summary"] | counts | {"left_out_read": manifest.get("left_out_read", 0)},
        folder=kept_as(out),
        weights_hash=manifest["weights_hash"],
        preset=PRESETS[preset].plain(preset),
        job=job,
        asked_by=job.created_by,
    )
