"""How many more labels and hours a CGF1 would take, by the curve so far. Pure: points in, figures and a verdict out.

The curve is y = ceiling - headroom / (1 + x / half): the simplest that can end somewhere. Half of the headroom is
gained after `half`, and whether there is an end in sight is what one wants to know.

Its uncertainty: each point is drawn anew from its own interval. Points share most of their holdout, so that their
errors go together; drawn apart, the answer is rather too wide.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST = 3  # points, at as many different places
DRAWS, SEED = 1000, 0
LAST, NOTHING = 3, 0.005  # rounds that together gained no more than half a point have stalled
LEAST_ERROR = 1e-4
Z_95 = 1.959964

REACHED, TOO_FEW, NEVER, STALLED, TOLD = "reached", "too_few", "never", "stalled", "told"


@dataclass(frozen=True)
class Measured:
    """A version's CGF1 with its 95 % interval after `x` hours, or labels."""

    x: float
    y: float
    low: float
    high: float

    @property
    def error(self) -> float:
        return max((self.high - self.low) / (2 * Z_95), LEAST_ERROR)


@dataclass(frozen=True)
class Curve:
    ceiling: float
    headroom: float
    half: float

    def at(self, x: float) -> float:
        return self.ceiling - self.headroom / (1 + x / self.half)


@dataclass(frozen=True)
class Needed:
    """`x` to a target in all, 95 % interval; None: never. `share`: of the draws that get there. `ceiling`: where the
    curve ends, with its interval."""

    curve: Curve
    x: float | None
    low: float | None
    high: float | None
    share: float
    ceiling_low: float
    ceiling_high: float


def curve_fit(points: Sequence[Measured]) -> Curve:
    """The least squares, each point by its own error; ceiling at most 1, headroom never below 0."""
    x, y, weights = _arrays(points)
    grid = _halves(x)
    for _ in range(4):
        place, ceiling, headroom = _solved(x, y[None], weights, grid)
        best = int(place[0])
        curve = Curve(float(ceiling[0]), float(headroom[0]), float(grid[best]))
        grid = np.geomspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 41)
    return curve


def needed_for(points: Sequence[Measured], target: float) -> Needed | None:
    """None below three points at three places: a curve with an end goes through any two."""
    if len({one.x for one in points}) < LEAST:
        return None
    x, y, weights = _arrays(points)
    noise = np.random.default_rng(SEED).standard_normal((DRAWS, len(x)))
    grid = _halves(x)
    place, ceilings, headrooms = _solved(x, y + noise / np.sqrt(weights), weights, grid)
    wanted = np.sort([_reached(*one, target) for one in zip(ceilings, headrooms, grid[place], strict=True)])
    curve = curve_fit(points)
    ends = np.quantile(wanted, (0.025, 0.975), method="nearest")
    low, high = np.quantile(ceilings, (0.025, 0.975))
    best = _reached(curve.ceiling, curve.headroom, curve.half, target)
    share = float(np.isfinite(wanted).mean())
    return Needed(curve, _finite(best), _finite(ends[0]), _finite(ends[1]), share, float(low), float(high))


def _arrays(points: Sequence[Measured]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y, errors = (np.array([getattr(one, name) for one in points], float) for name in ("x", "y", "error"))
    return x, y, 1 / errors**2


def _halves(x: np.ndarray) -> np.ndarray:
    """Places of `half` worth a try: beyond ten times what was measured a curve can't be told from a straight line."""
    return np.geomspace(x[x > 0].min() / 10, 10 * x.max(), 121)


def _solved(
    x: np.ndarray, y_DP: np.ndarray, weights: np.ndarray, grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(index into grid, ceiling, headroom) of each draw: for a given `half` the curve is a straight line in u."""
    u_GP = 1 / (1 + x[None] / grid[:, None])
    total, of_u, of_uu = weights.sum(), u_GP @ weights, u_GP**2 @ weights
    of_y, of_uy, of_yy = (y_DP @ weights)[:, None], (y_DP * weights) @ u_GP.T, (y_DP**2 @ weights)[:, None]
    headroom = (of_u * of_y - total * of_uy) / (total * of_uu - of_u**2)
    headroom = np.maximum(headroom, 0.0)
    ceiling = (of_y + headroom * of_u) / total
    over = ceiling > 1
    ceiling = np.where(over, 1.0, ceiling)
    headroom = np.where(over, np.maximum((of_u - of_uy) / of_uu, 0.0), headroom)
    misses = of_yy - 2 * ceiling * of_y + 2 * headroom * of_uy
    misses = misses + ceiling**2 * total - 2 * ceiling * headroom * of_u + headroom**2 * of_uu
    place = misses.argmin(axis=1)
    rows = np.arange(len(place))
    return place, ceiling[rows, place], headroom[rows, place]


def _reached(ceiling: float, headroom: float, half: float, target: float) -> float:
    if target >= ceiling:
        return math.inf
    return float(half * max(headroom / (ceiling - target) - 1, 0.0))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True)
class Stall:
    """What the last rounds gained over the best before them, 95 % interval."""

    rounds: int
    gain: float
    low: float
    high: float


def stalled(judged: Sequence[Measured]) -> Stall | None:
    """`judged`: all rounds in their order, kept back ones too. None: they gained something, or are too few."""
    if len(judged) <= LAST:
        return None
    before = max(judged[:-LAST], key=lambda one: one.y)
    after = max(judged[-LAST:], key=lambda one: one.y)
    gain = after.y - before.y
    if gain > NOTHING:
        return None
    width = Z_95 * math.hypot(before.error, after.error)
    return Stall(LAST, gain, gain - width, gain + width)


@dataclass(frozen=True)
class Forecast:
    """`verdict`: reached, too_few, never (the curve ends below), stalled, or told. `points`: that the curve goes
    through. `hours` is None where too few points have hours."""

    target: float
    verdict: str
    points: int
    hours: Needed | None = None
    labels: Needed | None = None
    stall: Stall | None = None


def forecast_of(
    *, by_hours: Sequence[Measured], by_labels: Sequence[Measured], judged: Sequence[Measured], target: float
) -> Forecast:
    """`by_hours`, `by_labels`: the start and the promoted versions, oldest first."""
    hours, labels = needed_for(by_hours, target), needed_for(by_labels, target)
    stall = stalled(judged)
    asked = hours or labels
    if by_labels and by_labels[-1].y >= target:
        verdict = REACHED
    elif asked is not None and asked.ceiling_high < target:
        verdict = NEVER
    elif stall is not None:
        verdict = STALLED
    else:
        verdict = TOO_FEW if asked is None else TOLD
    return Forecast(target, verdict, len({one.x for one in by_labels}), hours, labels, stall)
