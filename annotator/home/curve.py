"""The learning curve with what belongs to it: points, seconds, random order, what each model learnt, the forecast."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from annotator.data.labour import Labour, Pace, labour_since, labour_until, paces_of
from annotator.models import GateDecision, Project
from annotator.registry.learned import Learned, learned_of
from annotator.registry.learning_curve import KEPT_BACK, START, Point, curve_points

from .forecast import Forecast, Measured, forecast_of
from .random_order import RandomOrder, random_order_of

# Of so many newest versions it is told what they learnt: each is a file to read.
LEARNT = 20
TARGET_STEP, TARGET_MOST = 0.05, 0.95


@dataclass(frozen=True)
class Round:
    """A point and what its model learnt against the one that served then; `learned` None: its rows were not kept."""

    point: Point
    learned: Learned | None = None


@dataclass(frozen=True)
class LearningCurve:
    """`spent`: all that people did; `since`: the part of it that no judged model has learnt from yet."""

    rounds: list[Round]
    spent: Labour
    since: Labour
    paces: list[Pace]
    random: RandomOrder
    forecast: Forecast | None

    @property
    def points(self) -> list[Point]:
        return [one.point for one in self.rounds]

    @property
    def newest(self) -> Round | None:
        """The last version that a run made."""
        made = [one for one in self.rounds if one.point.state != START]
        return made[-1] if made else None


def learning_curve(*, project: Project, target: float | None = None) -> LearningCurve:
    """`target`: a CGF1, as a fraction, or the next step of five points above the best."""
    points = curve_points(project=project)
    until = labour_until_newest(project)
    since = labour_since(project=project, labour=until)
    return LearningCurve(
        rounds=_rounds(points),
        spent=until.plus(since),
        since=since,
        paces=paces_of(project=project),
        random=random_order_of(project=project),
        forecast=curve_forecast(points=points, target=target),
    )


def labour_until_newest(project: Project) -> Labour:
    """Up to the snapshot of the newest run that made a version."""
    run = project.training_runs.filter(version__isnull=False).select_related("snapshot").defer("series", "samples")
    newest = run.first()
    return labour_until(snapshot=newest.snapshot) if newest else Labour()


def _rounds(points: Sequence[Point]) -> list[Round]:
    asked = [one.gate for one in points if one.gate][-LEARNT:]
    gates = GateDecision.objects.only("folder").in_bulk(asked)
    return [Round(one, learned_of(gate=gates[one.gate]) if one.gate in gates else None) for one in points]


def curve_forecast(*, points: Sequence[Point], target: float | None = None) -> Forecast | None:
    """None before anything was judged."""
    made = [one for one in points if one.state != START]
    if not made:
        return None
    told = [one for one in points if one.low is not None and one.high is not None]
    kept = [one for one in told if one.state != KEPT_BACK]
    timed = [one for one in kept if one.state == START or one.hours > 0]
    return forecast_of(
        by_hours=[_measured(one, one.hours) for one in timed],
        by_labels=[_measured(one, one.labels) for one in kept],
        judged=[_measured(one, one.labels) for one in told],
        target=target or next_target(points),
    )


def next_target(points: Sequence[Point]) -> float:
    """A step of five points above the best model that served, at least two points away: 0.616 -> 0.65."""
    best = max((one.cgf1 for one in points if one.state != KEPT_BACK), default=0.0)
    steps = math.ceil((best + 0.02) / TARGET_STEP - 1e-9)
    return round(min(steps * TARGET_STEP, TARGET_MOST), 2)


def _measured(point: Point, x: float) -> Measured:
    assert point.low is not None
    assert point.high is not None
    return Measured(x, point.cgf1, point.low, point.high)
