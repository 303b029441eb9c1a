"""Weights of versions that nobody needs: which, how much room they take, and away with them when an admin says so.

Nothing goes by itself. The row, the config, the tokenizer and the manifest stay; `reproduce` makes the weights again.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.data.snapshot_folders import snapshot_folder
from annotator.jobs.kinds import HOUR_SECONDS, sweep_every
from annotator.models import Deployment, Job, ModelVersion, Project, TrainingRun
from toolbox.weights import INDEX

from .aliases import aliases_by_hand
from .model_weights import model_folder
from .models_folder import weights_lock
from .run_files import room_for, run_folder
from .version_facts import run_of_version, version_figures

log = logging.getLogger(__name__)
PACE_DAYS, FAR_DAYS = 30, 3650
LAST_KEPT = 3
# Any other kind of job, also one that is added later, may be reading a version's weights.
NEED_NO_MODEL = (
    *(Job.Kind.IMPORT, Job.Kind.UNDO_IMPORT, Job.Kind.GALLERY, Job.Kind.SNAPSHOT, Job.Kind.EXPORT, Job.Kind.PUBLISH),
    *(Job.Kind.LABEL_STUDIO, Job.Kind.STUDIO_PUSH, Job.Kind.SCENES, Job.Kind.FEED),
)


@dataclass(frozen=True)
class Kept:
    """A version with its weights; `why` it stays, empty where they could go; `bytes` that this would free."""

    version: ModelVersion
    bytes: int
    why: str


@dataclass(frozen=True)
class Forecast:
    """`days_left`: until the disk is full at the pace of the last 30 days; None where no version was made then."""

    rows: list[Kept]
    last: int
    free_bytes: int
    days_left: int | None

    @property
    def lasts(self) -> str:
        """How long the free space lasts, in words; empty where nothing tells."""
        if self.days_left is None:
            return ""
        if self.days_left > FAR_DAYS:
            return "more than ten years"
        days = self.days_left
        return f"about {days} day{'s' * (days != 1)}" if days else "less than a day"

    @property
    def goes(self) -> list[Kept]:
        return [row for row in self.rows if not row.why]

    @property
    def stays(self) -> list[Kept]:
        return [row for row in self.rows if row.why]

    @property
    def held_bytes(self) -> int:
        return sum(row.bytes for row in self.rows)

    @property
    def freed_bytes(self) -> int:
        return sum(row.bytes for row in self.goes)


def retention_forecast(*, project: Project, last: int = LAST_KEPT) -> Forecast:
    """What would go if the best, the `last` newest and all that ever served stay; nothing is removed."""
    if last < 1:
        raise RoostError("Keep at least the newest version: say 1 or more.", fields={"last": ["At least 1."]})
    rows = _with_runs(project.model_versions.filter(weights_removed_at=None).order_by("-pk"))
    found = {version: paths for version in rows if (paths := _weights(version))}
    reasons = _Reasons(project, list(found), last)
    kept = [Kept(version, _freed(paths), reasons.why(version)) for version, paths in found.items()]
    free = room_for(version=project.serving_version, config={}).free_bytes
    return Forecast(kept, last, free, _days_left(kept, free))


def _with_runs(rows: QuerySet[ModelVersion]) -> QuerySet[ModelVersion]:
    """With what folders are named after, and without what may be large and is not asked for here."""
    near = ("training_run__project", "training_run__snapshot__project", "training_run__base_version")
    large = ("training_run__series", "training_run__samples", "training_run__base_version__metrics")
    return rows.select_related(*near).defer(*large)


def _days_left(rows: list[Kept], free: int) -> int | None:
    since = timezone.now() - timedelta(days=PACE_DAYS)
    made = sum(row.bytes for row in rows if row.version.created_at > since)
    return int(free / (made / PACE_DAYS)) if made else None


class _Reasons:
    """Why a version's weights stay; the first that holds is told."""

    def __init__(self, project: Project, versions: list[ModelVersion], last: int) -> None:
        self._newest = {version.pk for version in versions[:last]}
        self._last = last
        self._best = _best(versions)
        self._serving = set(Project.objects.values_list("serving_version_id", flat=True))
        deployed = Deployment.objects.values_list("version_id", "previous_id")
        self._promoted = {pk for row in deployed for pk in row if pk}
        self._bases = set(TrainingRun.objects.values_list("base_version_id", flat=True))
        self._bases |= set(ModelVersion.objects.filter(parent__isnull=False).values_list("parent_id", flat=True))
        self._by_hand = aliases_by_hand()

    def why(self, version: ModelVersion) -> str:
        run = run_of_version(version)
        reasons = (
            (version.pk in self._serving, "it serves"),
            (version.pk in self._promoted, "it has served"),
            (version.name in (self._by_hand or {}).values(), "an alias stands for it"),
            (self._by_hand is None, "aliases.json can't be read, so that an alias may stand for it"),
            (version.pk in self._bases, "others were trained from it"),
            (version.pk == self._best, "it is the best"),
            (version.pk in self._newest, f"it is among the last {self._last}"),
            (run is None, "it was not trained here, so that it can't be made again"),
        )
        told = next((words for holds, words in reasons if holds), "")
        return told or ("" if run is None else _irreproducible(run))


def _best(versions: list[ModelVersion]) -> int | None:
    """By CGF1 on the holdout, else on val; of equals the newer. None where none was measured."""
    told = {version.pk: version_figures(version) for version in versions}
    for split in ("holdout", "val"):
        measured = [(figures[split]["cgf1"], pk) for pk, figures in told.items() if "cgf1" in figures.get(split, {})]
        if measured:
            return max(measured)[1]
    return None


def _irreproducible(run: TrainingRun) -> str:
    if not snapshot_folder(run.snapshot).is_dir():
        return f"snapshot {run.snapshot.number} is gone, so that it can't be made again"
    try:
        model_folder(run.base_version)
    except RoostError:
        return f"its base {run.base_version.name} is gone, so that it can't be made again"
    return ""


def _weights(version: ModelVersion) -> list[Path]:
    """Its weights among the models and in its run's folder, which share their bytes where the disk has links."""
    run = run_of_version(version)
    folders = [settings.MODELS_DIR / version.name, *([run_folder(run) / "model"] if run else [])]
    return [path for folder in folders for path in sorted(folder.glob("*.safetensors"))]


def _freed(paths: list[Path]) -> int:
    found = {(stat.st_dev, stat.st_ino): stat.st_size for path in paths if (stat := path.stat())}
    return sum(found.values())


def retention_apply(*, project: Project, user: AbstractBaseUser, last: int, expected: list[str]) -> Forecast:
    """Remove what the forecast named: `expected`, the names that the person saw. 409 where it would be others now."""
    with transaction.atomic():
        # Whoever promotes or starts a run holds this row too, or finds the version gone before it begins.
        Project.objects.select_for_update().get(pk=project.pk)
        if project.jobs.filter(state__in=Job.IN_FLIGHT).exclude(kind__in=NEED_NO_MODEL).exists():
            words = "A job that may use one of these models is under way in this project; wait for it."
            raise ConflictError(words, code="already_running")
        forecast = retention_forecast(project=project, last=last)
        if {row.version.name for row in forecast.goes} != set(expected):
            raise ConflictError("Other versions would go now than were shown; look again.", code="forecast_changed")
        for row in forecast.goes:
            _note_gone(project, user, row)
    for row in forecast.goes:  # rows first: a version whose files are half gone is never one that may be asked for
        _remove(row.version)
    return forecast


def _note_gone(project: Project, user: AbstractBaseUser, row: Kept) -> None:
    now = timezone.now()
    ModelVersion.objects.filter(pk=row.version.pk).update(weights_removed_at=now, archived_at=now)
    audit_record(
        project=project, actor=user, action="version.remove_weights", subject=row.version.name, bytes=row.bytes
    )


def _remove(version: ModelVersion) -> bool:
    """Whether its files went: none do where the weights came back meanwhile."""
    with weights_lock():
        if not ModelVersion.objects.filter(pk=version.pk, weights_removed_at__isnull=False).exists():
            return False
        for path in _weights(version):
            path.unlink(missing_ok=True)
            path.with_name(INDEX).unlink(missing_ok=True)
    log.info("the weights of %s were removed", version.name)
    return True


@sweep_every(HOUR_SECONDS, apart=True)  # a large file takes its time to go
def removed_weights_sweep() -> int:
    """What a stop left: rows say that their weights were removed, and files lie there still. How many versions."""
    rows = _with_runs(ModelVersion.objects.filter(weights_removed_at__isnull=False, project__isnull=False))
    return sum(_remove(version) for version in rows if _weights(version))
