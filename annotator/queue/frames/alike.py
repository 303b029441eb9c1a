"""When two frames show the same, and when what a model draws in them does. Pure functions."""

from collections.abc import Sequence

import numpy as np

from toolbox.look import FLAT, looks_apart

# Cosine of two pooled features of one model version: from here on two frames of a scene are near-identical.
ALIKE_COSINE = 0.98
# Where no version has seen both: looks (toolbox/look.py) that differ in at most so many of 64 bits.
ALIKE_BITS = 6
# Objects may move a little from one frame to the next.
SAME_BOX_IOU = 0.5

Box = Sequence[float]


def features_alike(feature: bytes, other: bytes) -> bool:
    """Whether two pooled features (float16 bytes) point the same way; one of all zeros points nowhere."""
    first, second = (np.frombuffer(one, dtype=np.float16).astype(np.float32) for one in (feature, other))
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return first.shape == second.shape and lengths > 0 and float(first @ second) >= ALIKE_COSINE * lengths


def looks_alike(look: str, other: str) -> bool:
    """Whether two perceptual hashes are near; unknown and flat ones are like nothing."""
    is_telling = bool(look) and bool(other) and FLAT not in (look, other)
    return is_telling and looks_apart(look, other) <= ALIKE_BITS


def boxes_match(boxes_xyxy: Sequence[Box], others_xyxy: Sequence[Box]) -> bool:
    """Whether there are as many, and each has one of its own among the others that it overlaps by more than half."""
    if not boxes_xyxy or not others_xyxy:
        return not boxes_xyxy and not others_xyxy
    # A second of CPU time: not for every process that starts.
    from scipy.optimize import linear_sum_assignment

    near = np.array([[box_iou(box, other) > SAME_BOX_IOU for other in others_xyxy] for box in boxes_xyxy])
    rows, columns = linear_sum_assignment(near, maximize=True)
    return len(boxes_xyxy) == len(others_xyxy) and bool(near[rows, columns].all())


def box_iou(box: Box, other: Box) -> float:
    """Overlap of two boxes x0, y0, x1, y1."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    both = sum((one[2] - one[0]) * (one[3] - one[1]) for one in (box, other))
    return shared / (both - shared) if both > shared else 0.0
