"""Where a person would click next: in the middle of the largest mistake, told by how deep one can stand in it.

The protocol by which interactive segmentation is trained and compared: the first click lies in the deepest pixel of the
object, each further one in the deepest pixel of what is still wrong, positive where the object is missed and negative
where the mask spills over. Sources: Sofiiuk et al. 2022, Reviving Iterative Training with Mask Guidance for Interactive
Segmentation; Ravi et al. 2024, SAM 2 (appendix on interactive evaluation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from mlbackend.model.prompts import Point


@dataclass(frozen=True)
class _Deepest:
    """The innermost pixel of a region, and how far it is from the region's edge; 0 where the region is empty."""

    depth_px: float
    x: int = 0
    y: int = 0


def next_click(truth_HW: np.ndarray, found_HW: np.ndarray) -> Point | None:
    """The middle of the deepest wrong pixel, in pixels of these masks; None where nothing is wrong.

    The image's border counts as an edge. Of equals the missed part comes first, then the upper, then the left.
    """
    missed, spilt = _deepest(truth_HW & ~found_HW), _deepest(found_HW & ~truth_HW)
    worst, label = (missed, 1) if missed.depth_px >= spilt.depth_px else (spilt, 0)
    return Point(worst.x + 0.5, worst.y + 0.5, label) if worst.depth_px else None


def _deepest(region_HW: np.ndarray) -> _Deepest:
    """Only the region's own frame is looked at: distances to its edge are the same there."""
    rows, columns = np.flatnonzero(region_HW.any(axis=1)), np.flatnonzero(region_HW.any(axis=0))
    if not len(rows):
        return _Deepest(0.0)
    top, left = int(rows[0]), int(columns[0])
    frame = region_HW[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    depth_hw = distance_transform_edt(np.pad(frame, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth_hw.argmax()), depth_hw.shape)
    return _Deepest(float(depth_hw[y, x]), left + int(x), top + int(y))
