"""Masks on the wire: COCO RLE of the mask's own crop. No torch here: the server listens before that is imported."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
from pycocotools import mask as coco

from toolbox import rle as runs_of

MAX_MASK_PIXELS = 400_000_000


class MaskError(ValueError):
    """A mask from outside is not what it claims to be."""


class WireMask(TypedDict):
    size: list[int]
    crop_xywh: list[int]
    counts: str


def empty_wire_mask(height_px: int, width_px: int) -> WireMask:
    return {"size": [height_px, width_px], "crop_xywh": [0, 0, 0, 0], "counts": ""}


def encode_mask(
    mask_HW: np.ndarray,
    *,
    origin_xy: tuple[int, int] = (0, 0),
    size_hw: tuple[int, int] | None = None,
) -> WireMask:
    """Crop a bool mask to its own box and encode that. mask_HW may itself be a window at origin_xy of size_hw.

    Quickest for Fortran order, in which COCO counts.
    """
    height, width = size_hw or mask_HW.shape
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    if not len(rows):
        return empty_wire_mask(height, width)
    top, left = int(rows[0]), int(columns[0])
    crop = mask_HW[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    counts = coco.encode(np.asfortranarray(crop).view(np.uint8))["counts"].decode("ascii")
    return {
        "size": [height, width],
        "counts": counts,
        "crop_xywh": [origin_xy[0] + left, origin_xy[1] + top, crop.shape[1], crop.shape[0]],
    }


def decode_wire_mask(wire: Any, *, size_hw: tuple[int, int] | None = None) -> np.ndarray:
    """A (H, W) bool mask; MaskError for anything that pycocotools would answer with a crash or stray memory.

    size_hw: the image's size, where the caller knows it.
    """
    try:
        (height, width), (x, y, w, h), counts = wire["size"], wire["crop_xywh"], wire["counts"]
    except (TypeError, KeyError, ValueError):
        raise MaskError("a mask needs size [H, W], crop_xywh [x, y, w, h] and counts") from None
    numbers = (height, width, x, y, w, h)
    if any(type(value) is not int or value < 0 for value in numbers) or not isinstance(counts, str):
        raise MaskError("size and crop_xywh must hold whole numbers of 0 or more, counts a string")
    if size_hw is not None and (height, width) != size_hw:
        raise MaskError(f"the mask is {width} x {height} px and the image {size_hw[1]} x {size_hw[0]}")
    if height * width > MAX_MASK_PIXELS or x + w > width or y + h > height:
        raise MaskError(f"the crop {[x, y, w, h]} does not lie in a mask of {width} x {height} px")
    mask = np.zeros((height, width), dtype=bool)
    if w * h:
        mask[y : y + h, x : x + w] = decode_counts(counts, height_px=h, width_px=w)
    elif counts:
        raise MaskError("an empty crop has no counts")
    return mask


def decode_counts(counts: str, *, height_px: int, width_px: int) -> np.ndarray:
    """Expand compressed COCO RLE after checking that its runs fill exactly height_px * width_px."""
    runs, pixels = run_lengths(counts), height_px * width_px
    # A run larger than the mask is looked for by itself: sums of huge ones wrap around.
    if not len(runs) or runs.min() < 0 or runs.max() > pixels or runs.sum() != pixels:
        raise MaskError(f"the runs add up to {sum(runs.tolist())} and not to {width_px} x {height_px} px")
    return coco.decode({"size": [height_px, width_px], "counts": counts.encode("ascii")}).astype(bool)


def run_lengths(counts: str) -> np.ndarray:
    """The runs inside compressed COCO RLE, background first; MaskError where it is none."""
    try:
        return runs_of.run_lengths(counts)
    except runs_of.RleError as error:
        if error.flaw == "cut":
            raise MaskError("counts ends in the middle of a number") from None
        raise MaskError("counts is not compressed COCO RLE") from None
