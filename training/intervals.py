"""How far figures of a holdout may lie from the truth, where pairs of one scene are not independent.

Legend: P pairs, S scenes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

FEW_SCENES = 5  # unlike the rest: fewer say nothing of how alike a scene's pairs are


def proportion(does_P: np.ndarray, scene_P: np.ndarray, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson's interval of the share of pairs that do it (bool), two-sided.

    Both counts are divided by the design effect first; beta quantiles take fractions of a pair as well.
    """
    if not len(does_P):
        return 0.0, 1.0
    effect, tail = _design_effect(does_P.astype(np.int64), scene_P), (1 - confidence) / 2
    hits, rest = does_P.sum() / effect, (~does_P).sum() / effect
    low = float(stats.beta.ppf(tail, hits, rest + 1)) if hits else 0.0
    high = float(stats.beta.isf(tail, hits + 1, rest)) if rest else 1.0
    return low, high


def bounds_of_quantile(
    score_P: np.ndarray, reaches_P: np.ndarray, scene_P: np.ndarray, share: float, confidence: float
) -> tuple[float | None, float | None]:
    """Two of the scores, between which lies the one that this share of all pairs there are would reach; None: none of
    these is far enough out.

    How many of the pairs reach it is binomial, so the places of the bounds among the sorted scores follow without a
    word about their shape (Clopper and Pearson's limits of each place). reaches_P (bool) says which pairs reach it
    here, for the design effect. Redrawn sets can't say it: an extreme quantile of theirs is never beyond what was seen.
    """
    count, tail = len(score_P), (1 - confidence) / 2
    effect = _design_effect(reaches_P.astype(np.int64), scene_P)
    above_K, falling_P = np.arange(count + 1), np.sort(score_P)[::-1]
    hits_K, rest_K = above_K / effect, (count - above_K) / effect
    is_more_K = stats.beta.cdf(share, hits_K[1:], rest_K[1:] + 1) <= tail  # for certain, of the first 1, 2, … scores
    is_fewer_K = stats.beta.sf(share, hits_K[:-1] + 1, rest_K[:-1]) <= tail  # of the first 0, 1, …
    low = float(falling_P[is_more_K.argmax()]) if is_more_K.any() else None
    high = float(falling_P[np.flatnonzero(is_fewer_K)[-1]]) if is_fewer_K.any() else None
    return low, high


@dataclass(frozen=True)
class PairedRise:
    """How much more often the second of two models does something, on the same `of` pairs: (more - fewer) / of."""

    more: int  # pairs on which the second does it alone
    fewer: int  # pairs on which the first does it alone
    of: int
    design_effect: float  # of that many alike pairs each counts as one

    @property
    def rise(self) -> float:
        return (self.more - self.fewer) / self.of if self.of else 0.0

    def upper(self, confidence: float) -> float:
        """One-sided bound: the true rise is above it with a chance of 1 - confidence at most."""
        return _tango_upper(self.more, self.fewer, self.of, self.design_effect, confidence)

    def lower(self, confidence: float) -> float:
        return -_tango_upper(self.fewer, self.more, self.of, self.design_effect, confidence)

    def pairs_until_below(self, margin: float, confidence: float, at_most: int = 1_000_000) -> int | None:
        """How many pairs it takes until upper() is below the margin, if the rest is as what is here; None: never."""
        if self.of == 0 or self.rise >= margin:
            return None
        times = [1.0, at_most / self.of]
        if times[1] <= 1 or self._upper_of_times(times[1], confidence) > margin:
            return None
        if self._upper_of_times(1.0, confidence) <= margin:
            return self.of
        found = optimize.brentq(lambda many: self._upper_of_times(many, confidence) - margin, *times, rtol=1e-4)
        return math.ceil(self.of * float(found))

    def _upper_of_times(self, times: float, confidence: float) -> float:
        return _tango_upper(self.more * times, self.fewer * times, self.of * times, self.design_effect, confidence)


def paired_rise(first_P: np.ndarray, second_P: np.ndarray, scene_P: np.ndarray) -> PairedRise:
    """Of two models' answers (bool) to the same pairs; scene_P (int) says which pairs are one scene."""
    change_P = second_P.astype(np.int64) - first_P.astype(np.int64)
    more, fewer = int((change_P > 0).sum()), int((change_P < 0).sum())
    return PairedRise(more, fewer, len(change_P), _design_effect(change_P, scene_P))


def _design_effect(value_P: np.ndarray, scene_P: np.ndarray) -> float:
    """The variance of the values' mean over scenes against that over pairs taken for independent; 1 or more.

    Where hardly any scene is unlike the rest there is nothing to measure it by: then a scene counts as one pair.
    """
    if not len(value_P):
        return 1.0
    _, place_P, size_S = np.unique(scene_P, return_inverse=True, return_counts=True)
    as_one = float((size_S**2).sum() / size_S.sum())
    usual = np.median(value_P)
    if len(np.unique(place_P[value_P != usual])) < FEW_SCENES:
        return as_one
    mean = value_P.mean()
    sum_S = np.bincount(place_P, weights=value_P - mean)
    over_scenes, over_pairs = (
        (apart**2).sum() * len(apart) / max(1, len(apart) - 1) for apart in (sum_S, value_P - mean)
    )
    return max(1.0, float(over_scenes / over_pairs))


def _tango_upper(more: float, fewer: float, of: float, design_effect: float, confidence: float) -> float:
    """Upper score bound of a difference of paired proportions: it holds for no discordant pair as well.

    Source: Tango 1998, Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design. All counts are divided by the design effect first (Rao and Scott 1992).
    """
    if of == 0:
        return 1.0
    b, c, n = (count / design_effect for count in (more, fewer, of))
    z = stats.norm.ppf(confidence)

    def standing(rise: float) -> float:
        """How many standard errors what was seen lies above the bound that would make it just likely enough."""
        half = -b - c + (2 * n - b + c) * rise
        share = (math.sqrt(max(half**2 + 8 * n * c * rise * (1 - rise), 0.0)) - half) / (4 * n)
        variance = n * (2 * share + rise * (1 - rise))
        return float((b - c - n * rise) / math.sqrt(max(variance, 1e-12)) + z)

    seen, most = (b - c) / n, 1 - 1e-9
    if seen >= most or standing(most) > 0:
        return 1.0
    return float(optimize.brentq(standing, max(seen, -1 + 1e-9), most))


def holm(chances: dict[str, float], level: float) -> set[str]:
    """Which of several hypotheses are refused where none of the true ones shall be, with 1 - level (Holm 1979)."""
    refused: set[str] = set()
    for rank, (name, chance) in enumerate(sorted(chances.items(), key=lambda one: one[1])):
        if chance > level / (len(chances) - rank):
            break
        refused.add(name)
    return refused


def level_of_look(level: float, earlier: float) -> float:
    """What the next decision on a holdout may spend of `level` after `earlier` ones: level / (k (k + 1)) for the k-th.

    However many follow, they spend no more than `level` together. `earlier` need be no whole number: a decision counts
    by the share of today's pairs that it had read.
    """
    k = 1 + earlier
    return level / (k * (k + 1))
