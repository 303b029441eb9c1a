"""The gain in CGF1 and its uncertainty: scenes are redrawn, since pairs of one scene are not independent.

Legend: P pairs, S scenes, R bootstrap rounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from toolbox.cgf1_sums import Figure, by_scene, cgf1_of_sums, redrawn_differences
from toolbox.gate_policy import Policy
from training import cgf1


@dataclass(frozen=True)
class Holdout:
    """What two or three models answered to the same pairs. scene_P and concepts tell whose pair it is."""

    champion: cgf1.PairCounts
    challenger: cgf1.PairCounts
    scene_P: np.ndarray
    concepts: Sequence[str]
    baseline: cgf1.PairCounts | None = None

    @property
    def is_positive_P(self) -> np.ndarray:
        return self.champion.is_positive_P

    def scenes(self, *, positive: bool) -> int:
        """How many scenes have a pair of this kind."""
        return len(np.unique(self.scene_P[self.is_positive_P == positive]))

    def take(self, rows_P: np.ndarray) -> Holdout:
        return replace(
            self,
            champion=self.champion.take(rows_P),
            challenger=self.challenger.take(rows_P),
            baseline=self.baseline.take(rows_P) if self.baseline else None,
            scene_P=self.scene_P[rows_P],
            concepts=[self.concepts[row] for row in rows_P],
        )


@dataclass(frozen=True)
class Gain:
    """A difference of two models (fractions), the bounds of its bootstrap distribution, and what one-sided bounds at
    levels too small for its tails are made of: its spread, and as many degrees of freedom as the rarer kind of pair
    has scenes, less one."""

    delta: float
    low: float
    high: float
    spread: float
    degrees: int
    pairs: int

    def low_at(self, level: float) -> float:
        """Chance alone passes it in `level` of all holdouts."""
        return self.delta - self._reach(level) * self.spread

    def chance_of_at_least(self, value: float) -> float:
        """How likely a gain as small as this is, were the true one `value` (one-sided)."""
        if not self.spread:
            return float(self.delta >= value)
        return float(stats.t.cdf((self.delta - value) / self.spread, self._degrees))

    def detectable(self, level: float, power: float) -> float:
        """The true gain that is found certain with this chance, on a holdout as this one."""
        return (self._reach(level) + float(stats.norm.ppf(power))) * self.spread

    def more_pairs(self, level: float, power: float) -> int | None:
        """How many pairs more would find the gain that was seen, if it is the true one."""
        if self.delta <= 0:
            return None
        return max(1, math.ceil(self.pairs * ((self.detectable(level, power) / self.delta) ** 2 - 1)))

    def _reach(self, level: float) -> float:
        return float(stats.t.ppf(1 - level, self._degrees))

    @property
    def _degrees(self) -> int:
        return max(1, self.degrees)


def redrawn_gain(
    first: cgf1.PairCounts,
    second: cgf1.PairCounts,
    holdout: Holdout,
    policy: Policy,
    seed: int,
    figure: Figure = cgf1_of_sums,
) -> Gain:
    """second - first: scenes are drawn with replacement, the same for both models."""
    return redrawn_mean_gain([first], [second], holdout.scene_P, policy, seed, figure)


def redrawn_mean_gain(
    firsts: Sequence[cgf1.PairCounts],
    seconds: Sequence[cgf1.PairCounts],
    scene_P: np.ndarray,
    policy: Policy,
    seed: int,
    figure: Figure = cgf1_of_sums,
) -> Gain:
    """The same of the mean figure of several models on each side, such as one config's seeds."""
    sides = [[by_scene(cgf1.sums_of(counts), scene_P) for counts in side] for side in (firsts, seconds)]
    scenes = sides[0][0].shape[0]

    def change(drawn_RS: np.ndarray) -> np.ndarray:
        return _mean(figure, sides[1], drawn_RS) - _mean(figure, sides[0], drawn_RS)

    drawn_R = redrawn_differences(change, scenes, policy.bootstrap, seed)
    tail = (1 - policy.confidence) / 2
    low, high = (float(bound) for bound in np.quantile(drawn_R, [tail, 1 - tail]))
    spread = float(drawn_R.std() * math.sqrt(scenes / max(1, scenes - 1)))
    whole = float(change(np.ones((1, scenes)))[0])
    return Gain(whole, low, high, spread, _degrees(firsts[0], scene_P), len(scene_P))


def _mean(figure: Figure, models: Sequence[np.ndarray], draws_RS: np.ndarray) -> np.ndarray:
    """(R,) figures of the redrawn scenes, the mean over models."""
    return np.mean([figure(draws_RS @ terms_SK) for terms_SK in models], axis=0)


def _degrees(counts: cgf1.PairCounts, scene_P: np.ndarray) -> int:
    kinds = (counts.is_positive_P, ~counts.is_positive_P)
    return min(len(np.unique(scene_P[kind_P])) for kind_P in kinds) - 1
