"""Stands in for the annotator: it knows the truth, clicks like a person, and counts what that would have cost.

Costs in simulated seconds: 3 a click (or a key that settles a pair), 30 a mask drawn by hand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

CLICK_SECONDS = 3.0
DRAWING_SECONDS = 30.0
MAX_CORRECTIONS = 3
ACCEPT_IOU = 0.8


@dataclass(frozen=True)
class Point:
    """A click in image pixels; label 1 adds, 0 subtracts."""

    x: float
    y: float
    label: int = 1


@dataclass
class Drawn:
    """One settled object: the mask the oracle accepted, how it came about, and what it cost."""

    mask_HW: np.ndarray
    origin: str  # "click" or "drawn"
    points: list[Point] = field(default_factory=list)
    seconds: float = 0.0


ClickModel = Callable[[Sequence[Point]], np.ndarray]


def deepest_point(region_HW: np.ndarray, label: int = 1) -> Point:
    """The pixel of a non-empty region that lies farthest from its border, the image's edge counted as border."""
    depth = ndimage.distance_transform_edt(np.pad(region_HW, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return Point(float(x) + 0.5, float(y) + 0.5, label)


def mask_iou(a_HW: np.ndarray, b_HW: np.ndarray) -> float:
    union = np.logical_or(a_HW, b_HW).sum()
    return float(np.logical_and(a_HW, b_HW).sum() / union) if union else 1.0


def settle_object(truth_HW: np.ndarray, click: ClickModel) -> Drawn:
    """Click the object, correct up to three times where the error is deepest, accept at IoU 0.8, else draw by hand."""
    points = [deepest_point(truth_HW)]
    for _ in range(1 + MAX_CORRECTIONS):
        mask_HW = click(points)
        if mask_iou(mask_HW, truth_HW) >= ACCEPT_IOU:
            return Drawn(mask_HW, "click", points, CLICK_SECONDS * len(points))
        if len(points) > MAX_CORRECTIONS:
            break
        points = [*points, _correction(mask_HW, truth_HW)]
    return Drawn(truth_HW, "drawn", points, CLICK_SECONDS * len(points) + DRAWING_SECONDS)


def _correction(mask_HW: np.ndarray, truth_HW: np.ndarray) -> Point:
    """A click in the middle of the larger error: missed pixels want a 1, surplus pixels a 0."""
    missed, surplus = truth_HW & ~mask_HW, mask_HW & ~truth_HW
    return deepest_point(missed, 1) if missed.sum() >= surplus.sum() else deepest_point(surplus, 0)
