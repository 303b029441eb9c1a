"""CGF1 against people's hours: a point for the model as shipped and for each version that a run made here."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import F, Max, Q

from annotator.data.labour import Labour, labour_until
from annotator.models import Deployment, Evaluation, Image, Project

from .judged_files import MEASURES

VERSIONS = 100  # the newest that are shown

START, PROMOTED, KEPT_BACK = "start", "promoted", "kept_back"


@dataclass(frozen=True)
class Point:
    """A version on the newest holdout that judged it; fractions, with a 95 % interval where one was measured.

    `labour`: what people had spent up to the snapshot that it learnt from. `state`: start (the model as shipped),
    promoted (it served), or kept_back. `gate`: the newest decision about it.
    """

    version: str
    state: str
    evaluation: int
    cgf1: float
    low: float | None
    high: float | None
    labour: Labour
    run: int | None = None
    snapshot: int | None = None
    gate: int | None = None
    decision: str = ""
    at: datetime | None = None

    @property
    def hours(self) -> float:
        return self.labour.seconds / 3600

    @property
    def labels(self) -> int:
        return self.labour.labels


def curve_points(*, project: Project) -> list[Point]:
    """In the order of what people had spent; versions that were never judged on a holdout have no point."""
    first = project.deployments.filter(action=Deployment.Action.START).order_by("pk").first()
    served = set(project.deployments.filter(action=Deployment.Action.PROMOTE).values_list("version", flat=True))
    rows = _judged(project, first.version_id if first else None)
    points = [_point(row, row.version_id in served) for row in rows if isinstance(row.told_cgf1, int | float)]
    return sorted(points, key=lambda one: (one.state != START, one.labour.through, one.run or 0))


def _judged(project: Project, shipped: int | None) -> Sequence[Any]:
    """Of each version its newest evaluation on the holdout: as a challenger, or later as the one that served."""
    theirs = Q(version__training_run__project=project) | Q(version=shipped, version__training_run=None)
    judged = Evaluation.objects.filter(theirs, project=project, split=Image.Split.HOLDOUT).order_by()
    newest = judged.values("version").annotate(newest=Max("pk")).order_by("-version").values_list("newest", flat=True)
    run = "version__training_run"
    rows = Evaluation.objects.filter(pk__in=list(newest[:VERSIONS])).annotate(told_cgf1=F("metrics__cgf1"))
    rows = rows.annotate(decided=F(f"{run}__gate"), decision=F(f"{run}__gate__decision"))
    rows = rows.select_related(f"{run}__snapshot").defer("metrics", f"{run}__series", f"{run}__samples")
    return list(rows)


def _point(row: Any, served: bool) -> Point:
    low, high = _interval(row)
    run = getattr(row.version, "training_run", None)
    told = {"evaluation": row.pk, "cgf1": row.told_cgf1, "low": low, "high": high}
    if run is None:
        return Point(row.version.name, START, labour=Labour(), **told)
    return Point(
        row.version.name,
        PROMOTED if served else KEPT_BACK,
        labour=labour_until(snapshot=run.snapshot),
        run=run.number,
        snapshot=run.snapshot.number,
        gate=row.decided,
        decision=row.decision or "",
        at=run.created_at,
        **told,
    )


def _interval(row: Evaluation) -> tuple[float | None, float | None]:
    """(None, None) where its measures were not kept, or told no interval."""
    if not row.folder:
        return None, None
    path = settings.RUNS_DIR / row.folder / MEASURES
    try:
        return _told(path, path.stat().st_mtime_ns)
    except (OSError, ValueError):
        return None, None


@lru_cache(maxsize=2 * VERSIONS)
def _told(path: Path, _changed_ns: int) -> tuple[float | None, float | None]:
    """Two numbers are kept of each file: a page shows a score of points."""
    figures = json.loads(path.read_bytes()).get("figures") or {}
    told = figures.get("cgf1") or {}
    return told.get("low"), told.get("high")
