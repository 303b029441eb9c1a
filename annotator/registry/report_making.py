"""After judging: a report of each model, made by the trainer's process from the files that its evaluation left."""

import logging
from pathlib import Path
from typing import Any

from django.conf import settings

from annotator.common.errors import JobCancelled
from annotator.data.snapshot_folders import snapshot_folder
from annotator.jobs.services import JobContext
from annotator.models import Evaluation, GateDecision, ModelVersion, TrainingRun
from toolbox.files import write_json

from .economics import project_economics
from .judged_files import MEASURES
from .report_files import report_folder, report_read
from .run_files import run_folder
from .trainer_process import TrainerError, run_trainer

log = logging.getLogger(__name__)
CHAMPION, CHALLENGER, BASELINE = "champion", "challenger", "baseline"


def role_of(evaluation: Evaluation) -> str:
    """Which of its gate's models it is of; empty where it was asked for by itself."""
    gate = evaluation.gate
    if gate is None:
        return ""
    roles = {gate.challenger_id: CHALLENGER, gate.champion_id: CHAMPION}
    return roles.get(evaluation.version_id, BASELINE)


def gate_reports_make(context: JobContext, gate: GateDecision) -> None:
    """Of the challenger and of what served; the model as shipped is the same in every gate."""
    for evaluation in gate.evaluations.select_related("version", "snapshot__project", "gate"):
        if role_of(evaluation) != BASELINE:
            evaluation_report_make(context, evaluation)


def evaluation_report_make(context: JobContext, evaluation: Evaluation) -> bool:
    """Whether it is there. What was judged stands all the same: why not is told on the report's page, and in the log.

    A job that runs again after a crash asks for it again: one that is there is kept. A trainer of one's own that leaves
    no measures gets no report.
    """
    if report_read(evaluation) is not None:
        return True
    out = report_folder(evaluation)
    if out is None or not (out.parent / MEASURES).is_file():
        return False
    context.tell(f"Writing the report of {evaluation.version.name}")
    try:
        run_trainer("report", _asked(evaluation, out.parent), out, should_stop=context.should_stop)
    except (TrainerError, JobCancelled, OSError) as error:
        log.warning("The report of evaluation %s was not made: %s", evaluation.pk, error)
        return False
    return True


def _asked(evaluation: Evaluation, folder: Path) -> dict[str, Any]:
    run = TrainingRun.objects.select_related("project").filter(version=evaluation.version).first()
    gate = evaluation.gate
    economics = folder / "economics.json"
    write_json(economics, project_economics(project=evaluation.project, run=run))
    asked = {
        "evaluation": str(folder),
        "snapshot": str(snapshot_folder(evaluation.snapshot)),
        "split": evaluation.split,
        "images": str(settings.IMAGES_DIR),
        "max_pixels": settings.MAX_IMAGE_PIXELS,
        "model": evaluation.version.name,
        "project": evaluation.project.name,
        "economics": str(economics),
        "run": _run_folder(run, evaluation.version),
    }
    if gate is not None and gate.folder:
        return asked | {"gate": str(settings.RUNS_DIR / gate.folder), "role": role_of(evaluation)}
    return asked | {"policy": evaluation.project.gate_policy}


def _run_folder(run: TrainingRun | None, version: ModelVersion) -> str | None:
    """A model as shipped has none, and an old run's may have been tidied away."""
    folder = run_folder(run) if run else None
    return str(folder) if folder and (folder / "events.jsonl").is_file() else None
