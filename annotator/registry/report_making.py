"""After the gate: a report of each model that it judged, made by the trainer's process from the files it left."""

import logging
from pathlib import Path
from typing import Any

from django.conf import settings

from annotator.common.errors import JobCancelled
from annotator.data.snapshot_folders import snapshot_folder
from annotator.jobs.services import JobContext
from annotator.models import ModelVersion, Snapshot, TrainingRun
from toolbox.files import write_json

from .economics import project_economics
from .report_files import ROLES
from .run_files import run_folder
from .trainer_process import TrainerError, run_trainer

log = logging.getLogger(__name__)
MEASURES = "measures.json"


def gate_reports_make(
    context: JobContext, *, run: TrainingRun, snapshot: Snapshot, roles: dict[str, ModelVersion], gate: Path
) -> None:
    """The decision stands whatever becomes of its reports: a refusal is told on the report's page, and in the log."""
    if not any((gate / role / MEASURES).is_file() for role in ROLES):
        return  # a trainer of one's own that leaves none
    economics = gate / "economics.json"
    write_json(economics, project_economics(project=run.project, run=run))
    for role in ROLES:
        shared = {"gate": str(gate), "role": role, "economics": str(economics), "run": _run_of(roles[role])}
        if (gate / role / MEASURES).is_file():
            report_make(context, folder=gate / role, snapshot=snapshot, version=roles[role], **shared)


def _run_of(version: ModelVersion) -> str | None:
    """The folder of the run that made it; a model as shipped has none, and an old run's may have been tidied away."""
    run = TrainingRun.objects.select_related("project").filter(version=version).first()
    folder = run_folder(run) if run else None
    return str(folder) if folder and (folder / "events.jsonl").is_file() else None


def report_make(
    context: JobContext, *, folder: Path, snapshot: Snapshot, version: ModelVersion, split: str = "holdout", **keys: Any
) -> bool:
    """`folder`: an evaluation's; FOLDER/report/ is made. Whether it was; the reason is in its events.jsonl."""
    asked = {
        "evaluation": str(folder),
        "snapshot": str(snapshot_folder(snapshot)),
        "split": split,
        "images": str(settings.IMAGES_DIR),
        "max_pixels": settings.MAX_IMAGE_PIXELS,
        "model": version.name,
        "project": snapshot.project.name,
        **keys,
    }
    context.tell(f"Writing the report of {version.name}")
    try:
        run_trainer("report", asked, folder / "report", should_stop=context.should_stop)
    except (TrainerError, JobCancelled, OSError) as error:
        log.warning("The report of %s in %s was not made: %s", version.name, folder, error)
        return False
    return True
