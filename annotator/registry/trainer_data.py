"""What the trainer's verbs read of a project: snapshot, images, features; and what a version has learnt from."""

from typing import Any

from django.conf import settings

from annotator.data.image_files import images_fetch
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshots import snapshot_images
from annotator.jobs.services import JobContext
from annotator.models import ModelVersion, Project, Snapshot, TrainingRun

from .run_files import features_folder


def trainer_data(snapshot: Snapshot) -> dict[str, Any]:
    """What all verbs read; backbone features are made once for all runs, and read where mining has made them."""
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


def run_that_made(version: ModelVersion, project: Project) -> TrainingRun | None:
    """None for a version that was made elsewhere."""
    run: TrainingRun | None = getattr(version, "training_run", None)
    return run if run is not None and run.project_id == project.pk else None


def trained_on(version: ModelVersion, project: Project) -> Snapshot | None:
    """The snapshot that the version learnt from in this project."""
    run = run_that_made(version, project)
    return run.snapshot if run else None
