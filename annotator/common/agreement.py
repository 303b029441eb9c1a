"""How far two answers agree, and how sure a share is. Pure functions."""

import math
from collections.abc import Sequence

import numpy as np

from .masks import Rle, rle_iou

# From this mean overlap on two answers with the same verdict agree.
SAME_ANSWER_IOU = 0.8
# Normal quantile of a two-sided interval at 95 %.
Z_95 = 1.959964


def mean_iou(masks: Sequence[Rle], others: Sequence[Rle]) -> float:
    """Mean overlap when masks are matched one to one, best in total (Hungarian); one without a partner counts 0.

    Two answers without any mask agree: 1.
    """
    if not masks and not others:
        return 1.0
    if not masks or not others:
        return 0.0
    return float(_matched_ious(masks, others).sum() / max(len(masks), len(others)))


def lowest_matched_iou(masks: Sequence[Rle], others: Sequence[Rle]) -> float:
    """The worst overlap when each mask is matched with one of equally many others, best in total."""
    return float(_matched_ious(masks, others).min())


def _matched_ious(masks: Sequence[Rle], others: Sequence[Rle]) -> np.ndarray:
    # A second of CPU time: not for every process that starts, of which few compare answers.
    from scipy.optimize import linear_sum_assignment

    ious = np.array([[rle_iou(mask, other) for other in others] for mask in masks])
    rows, columns = linear_sum_assignment(-ious)
    return ious[rows, columns]


def cohen_kappa(verdicts: Sequence[tuple[str, str]]) -> float | None:
    """Agreement beyond chance of two people's verdicts on the same things; None where chance alone explains all.

    Source: Cohen, A coefficient of agreement for nominal scales (1960).
    """
    if not verdicts:
        return None
    observed = sum(first == second for first, second in verdicts) / len(verdicts)
    sides = [[pair[side] for pair in verdicts] for side in (0, 1)]
    shares = [{word: side.count(word) / len(side) for word in {*sides[0], *sides[1]}} for side in sides]
    expected = sum(shares[0][word] * shares[1][word] for word in shares[0])
    return (observed - expected) / (1 - expected) if expected < 1 else None


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share, right also near 0 and 1 (Wilson, 1927). `total` must be positive."""
    share, z2 = count / total, Z_95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def clopper_upper(count: int, total: int, chance: float = 0.05) -> float:
    """The one-sided upper bound of a share: were it larger, so few as `count` of `total` would come with less than this
    chance (Clopper and Pearson, 1934). 1 of nothing."""
    low, high = 0.0, 1.0
    if count >= total:
        return 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(count, total, middle) > chance else (low, middle)
    return high


def _at_most(count: int, total: int, share: float) -> float:
    """Chance of `count` or fewer of `total`, of which each comes with the chance `share`, 0 < share < 1."""
    odds = math.log(share), math.log1p(-share)
    ways = (math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(count + 1))
    return sum(math.exp(way + k * odds[0] + (total - k) * odds[1]) for k, way in enumerate(ways))


def overlap(instances: Sequence[dict], others: Sequence[dict]) -> float:
    """Mean IoU of matched instances; 1 where both have none."""
    return mean_iou([one["mask"] for one in instances], [one["mask"] for one in others])
