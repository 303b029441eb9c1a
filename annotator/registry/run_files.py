"""What a training run keeps on the disk, and how much room there is: sizes and dates, nothing is removed here."""

import json
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings

from annotator.common.errors import RoostError
from annotator.models import Job, ModelVersion, Project, TrainingRun
from toolbox.run_size import gigabytes, run_size
from toolbox.training_settings import SETTABLE

from .model_weights import model_folder

CHECKPOINTS = "checkpoints"


def run_folder(run: TrainingRun) -> Path:
    return settings.RUNS_DIR / f"{run.project.slug}-{run.number}"


def features_folder() -> Path:
    return settings.RUNS_DIR / "features"


def folder_bytes(folder: Path) -> int:
    """Of all files below it; one that goes meanwhile counts nothing."""
    return sum(size for _, size, _ in files_in(folder))


def files_in(folder: Path) -> Iterator[tuple[Path, int, float]]:
    """(path, bytes, used at)."""
    for path in folder.rglob("*"):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(found.st_mode):
            yield path, found.st_size, found.st_mtime


@dataclass(frozen=True)
class Kept:
    """What an ended run could go on from, and until when it is kept."""

    step: int
    bytes: int
    until: datetime | None


def run_kept(run: TrainingRun) -> Kept | None:
    """None where the run made its version, or no checkpoint lies there."""
    folder = run_folder(run) / CHECKPOINTS
    steps = [int(path.stem.removeprefix("step-")) for path in folder.glob("step-*.json")]
    if run.version_id is not None or not steps:
        return None
    ended = run.job.finished_at
    until = ended + timedelta(days=settings.CHECKPOINT_DAYS) if ended else None
    return Kept(max(steps), folder_bytes(folder), until)


@dataclass(frozen=True)
class Room:
    """Of the disk that runs are written to. `needed_bytes` None: the base model's weights are not here, or damaged."""

    free_bytes: int
    needed_bytes: int | None

    @property
    def missing_bytes(self) -> int:
        return max(0, (self.needed_bytes or 0) - self.free_bytes)


def room_for(*, version: ModelVersion, config: dict[str, Any], run: TrainingRun | None = None) -> Room:
    """For a run from this version; what `run` has on the disk already need not be found again."""
    there = next(path for path in (settings.RUNS_DIR, *settings.RUNS_DIR.parents) if path.exists())
    free = shutil.disk_usage(there).free
    text_rate = config.get("text_rate", SETTABLE["text_rate"].default)
    try:
        needed = run_size(model_folder(version), with_text=bool(text_rate)).bytes
    except (RoostError, OSError, ValueError):  # the trainer says what is wrong; the page is to be seen
        return Room(free, None)
    held = folder_bytes(run_folder(run) / CHECKPOINTS) if run else 0
    return Room(free, max(0, needed - held))


def check_room(
    *, project: Project, version: ModelVersion, config: dict[str, Any], run: TrainingRun | None = None
) -> None:
    """RoostError in one sentence: what is needed, what is missing, and what could go."""
    room = room_for(version=version, config=config, run=run)
    if not room.missing_bytes:
        return
    needed, free, missing = (gigabytes(size) for size in (room.needed_bytes or 0, room.free_bytes, room.missing_bytes))
    raise RoostError(
        f"A run from {version.name} takes {needed} of disk for checkpoints and its model, {free} are free in "
        f"{settings.RUNS_DIR}: {missing} are missing. {_what_could_go(project)}",
        code="disk_full",
    )


def _what_could_go(project: Project) -> str:
    """Other projects are not named: whoever reads this need not know that there are any."""
    kept = runs_kept()
    mine = sorted(((one.bytes, run.number) for run, one in kept if run.project_id == project.pk), reverse=True)
    others = sum(one.bytes for run, one in kept if run.project_id != project.pk)
    features = folder_bytes(features_folder())
    parts = [f"run {number} keeps {gigabytes(size)} to go on from" for size, number in mine[:3]]
    if others:
        parts.append(f"runs elsewhere keep {gigabytes(others)}")
    if features:
        parts.append(f"cached features hold {gigabytes(features)}")
    if not parts:
        return "Roost keeps nothing there that could go: free some space, then start again."
    words = "; ".join(parts)
    return f"{words[0].upper()}{words[1:]}: manage.py clean_runs --all removes what no run needs, then start again."


def runs_kept() -> list[tuple[TrainingRun, Kept]]:
    """Ended runs that could still go on."""
    ended = TrainingRun.objects.exclude(job__state__in=Job.IN_FLIGHT).filter(version__isnull=True)
    rows = ended.select_related("project", "job").defer("series", "samples", "job__report")
    return [(run, kept) for run in rows if (kept := run_kept(run)) is not None]


def checkpoint_facts(manifest: Path) -> dict[str, Any]:
    """{} for a manifest that is damaged or gone."""
    try:
        facts = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
