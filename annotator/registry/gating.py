"""A challenger against what serves, on a snapshot's holdout: after training, or whenever somebody asks."""

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError
from annotator.data.snapshot_folders import snapshot_folder, snapshot_numbered
from annotator.data.snapshots import snapshot_asked
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Evaluation, GateDecision, Image, Job, ModelVersion, Project, Snapshot, TrainingRun
from toolbox.presets import PRESETS

from .evaluating import check_belongs
from .gate_looks import check_holdout, looks_at
from .judge_log import JudgeLog
from .judged_files import gate_folder, kept_as
from .model_weights import model_folder
from .report_making import gate_reports_make
from .run_files import run_folder
from .run_log import RunLog
from .trainer_data import fetch_images, run_that_made, trained_on, trainer_data
from .trainer_process import run_trainer

ROLES = ("champion", "challenger", "baseline")


@dataclass(frozen=True)
class Case:
    """Who is judged on whose holdout. `run`: the one that made the version; None for one that was made elsewhere."""

    project: Project
    version: ModelVersion
    snapshot: Snapshot
    out: Path
    run: TrainingRun | None = None
    job: Job | None = None


def gate_ask(*, run: TrainingRun, user: AbstractBaseUser | None) -> Job:
    """Judge the run's version again, on a fresh snapshot's holdout; nothing is trained. A look counts as each does."""
    return gate_ask_of(project=run.project, version=run_version(run), user=user)


def run_version(run: TrainingRun) -> ModelVersion:
    if run.version is None:
        raise ConflictError(f"Run {run.number} has no version yet: there is nothing to judge.", code="no_version")
    return run.version


def gate_ask_of(
    *, project: Project, version: ModelVersion, user: AbstractBaseUser | None, snapshot: int | None = None
) -> Job:
    """Judge any version of the project, or a shipped one; `snapshot`: a number, or a fresh one is taken."""
    check_belongs(project, version)
    run = run_that_made(version, project)
    _check_askable(project, version)
    model_folder(version)
    frozen = snapshot_asked(project=project, number=snapshot, user=user)
    judged = GateDecision.objects.filter(project=project, challenger=version, snapshot=frozen)
    if judged.filter(champion_id=project.serving_version_id).exists():
        raise ConflictError(
            "Nothing has changed since the gate's last answer: label and approve more of the holdout first.",
            code="nothing_new",
        )
    check_holdout(snapshot=frozen, trained_on=run.snapshot if run else None)
    subject = {"run": run.number} if run else {"version": version.name}
    with transaction.atomic():
        Project.objects.select_for_update().only("pk").get(pk=project.pk)
        _check_askable(project, version)
        params = subject | {"snapshot": frozen.number}
        return job_enqueue(project=project, kind=Job.Kind.GATE, params=params, created_by=user)


def _check_askable(project: Project, version: ModelVersion) -> None:
    if project.serving_version_id == version.pk:
        raise ConflictError(f"{version.name} serves: it would be judged against itself.", code="serves_already")
    if project.jobs.filter(kind=Job.Kind.GATE, state__in=Job.IN_FLIGHT).exists():
        raise ConflictError("The gate is being asked already; wait for its answer.", code="already_running")


def _run_of(job: Job) -> TrainingRun | None:
    if "run" not in job.params:
        return None
    runs = TrainingRun.objects.select_related("project", "snapshot", "version", "base_version")
    return runs.get(project=job.project, number=job.params["run"])


def _folder(job: Job) -> Path:
    run = _run_of(job)
    return run_folder(run) / f"gate-{job.pk}" if run else gate_folder(job)


@job_kind(Job.Kind.GATE, queue="training", logs=lambda job: [("Trainer, judging", _folder(job) / "log.txt")])
def gate_again(context: JobContext) -> dict:
    """Run again after a crash it judges again, into the same folder; what has a row or a report is not made twice."""
    job, run = context.job, _run_of(context.job)
    gate = GateDecision.objects.filter(job=job).first() or case_judge(context, _case(job, run))
    gate_reports_make(context, gate)
    return {"gate": gate.pk, "version": gate.challenger.name, "decision": gate.decision} | (
        {"run": run.number} if run else {}
    )


def _case(job: Job, run: TrainingRun | None) -> Case:
    snapshot = snapshot_numbered(project=job.project, number=job.params["snapshot"])
    version = run.version if run else ModelVersion.objects.get(name=job.params["version"])
    assert version is not None
    return Case(job.project, version, snapshot, _folder(job), run, job)


def run_judge(context: JobContext, run: TrainingRun, snapshot: Snapshot, out: Path) -> GateDecision:
    """What a run has made, when its training is over."""
    assert run.version is not None
    return case_judge(context, Case(run.project, run.version, snapshot, out, run, context.job))


def case_judge(context: JobContext, case: Case) -> GateDecision:
    """Champion (what serves now), challenger and the model as shipped, on the snapshot's holdout."""
    roles = _roles(case)
    learnt = trained_on(case.version, case.project)
    asked = {
        **{role: str(model_folder(version)) for role, version in roles.items()},
        "policy": case.project.gate_policy,
        "looks": looks_at(snapshot=case.snapshot, challenger=case.version),
        "seed": case.run.config.get("seed", 0) if case.run else 0,
        **({"trained_on": str(snapshot_folder(learnt))} if learnt else {}),
    }
    fetch_images(context, case.snapshot)
    with _log(context, case) as log:
        manifest = run_trainer("gate", trainer_data(case.snapshot) | asked, case.out, log.take, context.should_stop)
    return _decided(case, manifest, roles)


def _log(context: JobContext, case: Case) -> AbstractContextManager[RunLog | JudgeLog]:
    if case.run is not None:
        return RunLog(case.run, context, verb="gate")
    return nullcontext(JudgeLog(context, models=len(ROLES)))


def _roles(case: Case) -> dict[str, ModelVersion]:
    champion = Project.objects.select_related("serving_version").get(pk=case.project.pk).serving_version
    first = case.project.deployments.select_related("version").order_by("pk").first()
    return {"champion": champion, "challenger": case.version, "baseline": first.version if first else champion}


def _samples(out: Path) -> dict[str, list]:
    """The same few holdout pairs as champion and challenger see them (docs/data.md)."""
    report = json.loads((out / "report.json").read_text())
    return {"before": report["champion"]["samples"], "after": report["challenger"]["samples"]}


@transaction.atomic
def _decided(case: Case, manifest: dict[str, Any], roles: dict[str, ModelVersion]) -> GateDecision:
    challenger, decision = roles["challenger"], manifest["decision"]
    _note_on_version(case, manifest)
    audit_record(project=case.project, actor=None, action="gate.decide", subject=challenger.name, decision=decision)
    gate = GateDecision.objects.create(
        project=case.project,
        run=case.run,
        snapshot=case.snapshot,
        champion=roles["champion"],
        challenger=challenger,
        decision=decision,
        reasons=manifest["reasons"],
        report=manifest,
        folder=kept_as(case.out),
        job=case.job,
        asked_by=case.job.created_by if case.job else None,
    )
    _keep_evaluations(gate, roles, case.out)
    if case.run is not None:
        samples = case.run.samples | _samples(case.out)
        TrainingRun.objects.filter(pk=case.run.pk).update(samples=samples, gate=gate)
    return gate


def _note_on_version(case: Case, manifest: dict[str, Any]) -> None:
    """A shipped version is other projects', too: what one of them finds is no news about it."""
    version = case.version
    if version.project_id != case.project.pk:
        return
    version.metrics = {**version.metrics, "holdout": manifest["challenger"]}
    if manifest["decision"] == GateDecision.Decision.PROMOTE:
        version.stage = ModelVersion.Stage.PRODUCTION_CANDIDATE
    version.save(update_fields=["metrics", "stage"])


def _keep_evaluations(gate: GateDecision, roles: dict[str, ModelVersion], out: Path) -> None:
    """One a version: the model as shipped may be the champion as well."""
    preset = PRESETS[gate.project.preset].plain(gate.project.preset)
    kept: set[int] = set()
    for role, version in roles.items():
        if version.pk in kept:
            continue
        kept.add(version.pk)
        Evaluation.objects.create(
            project=gate.project,
            version=version,
            snapshot=gate.snapshot,
            split=Image.Split.HOLDOUT,
            metrics=gate.report[role] | {"pairs": gate.report["holdout"]["pairs"]},
            folder=kept_as(out / role),
            weights_hash=(gate.report.get("weights") or {}).get(role, ""),
            preset=preset,
            job=gate.job,
            gate=gate,
            asked_by=gate.asked_by,
        )
