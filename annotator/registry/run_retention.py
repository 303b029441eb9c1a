"""What goes when a run has ended: its checkpoints, but for those that it could go on from; and features nobody needs.

A run that made its version needs none: its model lies among the models. One that failed or was cancelled keeps its
newest sound checkpoint and the best weights for ROOST_CHECKPOINT_DAYS.
"""

import contextlib
import hashlib
import logging
import shutil
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from annotator.data.snapshots import snapshot_images
from annotator.jobs.kinds import HOUR_SECONDS, sweep_every
from annotator.models import Job, Project, Snapshot, TrainingRun
from toolbox.feature_files import is_of_drawn_view

from .run_files import CHECKPOINTS, checkpoint_facts, features_folder, files_in, folder_bytes, run_folder

log = logging.getLogger(__name__)


@sweep_every(HOUR_SECONDS, apart=True)  # a large checkpoint is read for half a minute
def runs_tidy(*, all_of_them: bool = False) -> int:
    """Every ended run, then the cached features; the bytes that went.

    `all_of_them`: also what runs could go on from, and all features of images that no snapshot names.
    """
    ended = TrainingRun.objects.exclude(job__state__in=Job.IN_FLIGHT).select_related("project", "job")
    gone = sum(run_tidy(run=run, wholly=all_of_them) for run in ended.defer("series", "samples", "job__report"))
    return gone + features_trim(budget_bytes=0 if all_of_them else settings.FEATURES_BYTES)


def run_tidy(*, run: TrainingRun, wholly: bool = False) -> int:
    """One ended run's checkpoints; the bytes that went."""
    folder = run_folder(run) / CHECKPOINTS
    if not folder.is_dir():
        return 0
    before = folder_bytes(folder)
    if wholly or run.version_id is not None or _is_due(run):
        gone = before if _take_away(run, folder) else 0
    else:
        _thin(folder)
        gone = before - folder_bytes(folder)
    if gone:
        log.info("run %s of %s: %d MB of checkpoints removed", run.number, run.project.slug, gone // 10**6)
    return gone


def _is_due(run: TrainingRun) -> bool:
    ended = run.job.finished_at
    return ended is not None and ended < timezone.now() - timedelta(days=settings.CHECKPOINT_DAYS)


def _take_away(run: TrainingRun, folder: Path) -> bool:
    """Not from a run that somebody has just taken up again: whoever does holds the project's row."""
    away = folder.with_name(f".{CHECKPOINTS}.gone")
    with transaction.atomic():
        Project.objects.select_for_update().only("pk").get(pk=run.project_id)
        if TrainingRun.objects.filter(pk=run.pk, job__state__in=Job.IN_FLIGHT).exists():
            return False
        shutil.rmtree(away, ignore_errors=True)
        folder.rename(away)
    shutil.rmtree(away, ignore_errors=True)
    return True


def _thin(folder: Path) -> None:
    """All but the newest step whose contents are as its manifest says; the best weights stay."""
    steps = sorted(folder.glob("step-*.json"), reverse=True)
    if len(steps) < 2:
        return
    sound = next((manifest for manifest in steps if _is_sound(manifest)), None)
    for manifest in steps if sound else ():
        if manifest != sound:
            manifest.unlink(missing_ok=True)
            manifest.with_suffix(".safetensors").unlink(missing_ok=True)


def _is_sound(manifest: Path) -> bool:
    try:
        with manifest.with_suffix(".safetensors").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == checkpoint_facts(manifest).get("sha256")
    except OSError:
        return False


def features_trim(*, budget_bytes: int) -> int:
    """Down to the budget, what was not used longest first; the bytes that went.

    Features of images that a snapshot names stay, but for those of drawn views: few runs draw the same ones.
    """
    files = sorted(files_in(features_folder()), key=lambda row: row[2])
    over = sum(size for _, size, _ in files) - budget_bytes
    if over <= 0:
        return 0
    needed = {sha256 for snapshot in Snapshot.objects.iterator() for sha256 in snapshot_images(snapshot)}
    gone = 0
    for path, size, _ in files:
        if gone < over and path.suffix == ".safetensors" and (path.stem not in needed or is_of_drawn_view(path)):
            path.unlink(missing_ok=True)
            _leave_no_folder(path)
            gone += size
    return gone


def _leave_no_folder(path: Path) -> None:
    """A drawn view of an image has three folders of its own; with anything else in it one stays."""
    if is_of_drawn_view(path):
        with contextlib.suppress(OSError):
            for folder in path.parents[:3]:
                folder.rmdir()
