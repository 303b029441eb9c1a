"""Writes roi_align_reference.json: a slow, literal transcription of RoIAlign's published definition.

He et al., Mask R-CNN (arXiv 1703.06870), section 3, with the conventions of torchvision.ops.roi_align's defaults:
aligned=False, sampling_ratio=-1 (ceil of bin size samples a bin), boxes of at least one cell, samples up to one cell
outside are clamped to the border and further ones are 0. Independent of mlbackend: loops and numpy alone.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

BOXES = [
    [1.0, 2.0, 6.0, 7.0],
    [0.0, 0.0, 11.0, 9.0],
    [2.3, 1.7, 2.6, 1.9],
    [4.5, 0.25, 10.75, 3.5],
    [-0.9, -0.5, 2.0, 3.0],
    [9.0, 7.0, 13.5, 11.5],
    [0.1, 0.1, 10.9, 0.9],
    [3.3333, 4.4444, 7.7777, 8.8888],
]


def sample(plane: np.ndarray, y: float, x: float) -> float:
    height, width = plane.shape
    if y < -1.0 or y > height or x < -1.0 or x > width:
        return 0.0
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = int(y), int(x)
    if top >= height - 1:
        top = bottom = height - 1
        y = float(top)
    else:
        bottom = top + 1
    if left >= width - 1:
        left = right = width - 1
        x = float(left)
    else:
        right = left + 1
    down, across = y - top, x - left
    return (
        (1 - down) * (1 - across) * plane[top, left]
        + (1 - down) * across * plane[top, right]
        + down * (1 - across) * plane[bottom, left]
        + down * across * plane[bottom, right]
    )


def roi_align(features: np.ndarray, box: list[float], bins: int) -> np.ndarray:
    x0, y0, x1, y1 = box
    bin_w, bin_h = max(x1 - x0, 1.0) / bins, max(y1 - y0, 1.0) / bins
    across, down = math.ceil(bin_w), math.ceil(bin_h)
    pooled = np.zeros((features.shape[0], bins, bins))
    for channel in range(features.shape[0]):
        for row in range(bins):
            for column in range(bins):
                total = 0.0
                for i in range(down):
                    for j in range(across):
                        y = y0 + row * bin_h + (i + 0.5) * bin_h / down
                        x = x0 + column * bin_w + (j + 0.5) * bin_w / across
                        total += sample(features[channel], y, x)
                pooled[channel, row, column] = total / (down * across)
    return pooled


def main() -> None:
    features = np.random.default_rng(7).normal(size=(2, 9, 11)).round(4)
    cases = [
        {"box": box, "bins": bins, "pooled": roi_align(features, box, bins).round(9).tolist()}
        for box in BOXES
        for bins in (1, 3, 7)
    ]
    target = Path(__file__).with_name("roi_align_reference.json")
    target.write_text(json.dumps({"features": features.tolist(), "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
