"""Writes rle_cases.json: masks drawn from a seed and pycocotools' encoding of them, for the JavaScript codec's tests.

Run: python tests/data/make_rle_cases.py
"""

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask


def drawn_masks() -> dict[str, np.ndarray]:
    """Names to (H, W) bool masks that exercise the codec: signs, long runs, single pixels, a noisy field."""
    random = np.random.default_rng(7)
    ys, xs = np.mgrid[0:90, 0:130]
    holed = (xs - 60) ** 2 + (ys - 40) ** 2 < 900
    holed &= (xs - 60) ** 2 + (ys - 40) ** 2 > 100
    big = np.zeros((700, 900), bool)
    big[100:650, 30:880] = True
    return {
        "one pixel": np.ones((1, 1), bool),
        "one background pixel": np.zeros((1, 1), bool),
        "top left pixel": np.pad(np.ones((1, 1), bool), ((0, 4), (0, 6))),
        "all": np.ones((5, 3), bool),
        "checkerboard": (np.indices((6, 7)).sum(0) % 2).astype(bool),
        "ring": holed,
        "noise": random.random((40, 33)) < 0.5,
        "long runs": big,
    }


def case(name: str, mask: np.ndarray) -> dict:
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    rows = [int(value) for value in np.packbits(mask, axis=None)]
    return {
        "name": name,
        "height": mask.shape[0],
        "width": mask.shape[1],
        "counts": encoded["counts"].decode(),
        "area": int(mask.sum()),
        "packed_rows": rows if mask.size <= 20_000 else None,
    }


if __name__ == "__main__":
    cases = [case(name, mask) for name, mask in drawn_masks().items()]
    Path(__file__).with_name("rle_cases.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
