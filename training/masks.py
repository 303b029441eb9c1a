"""COCO RLE for the trainer: every mask is checked here before pycocotools sees it.

pycocotools 2.0.11 trusts its input: an over-long RLE crashes the process, a short one returns uninitialised memory and
a polygon with a coordinate of 1e8 takes 11 GB. Nothing in `training` calls it on a mask that has not passed this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from toolbox.rle import RleError, run_lengths, run_lengths_joined

MAX_PIXELS = 400_000_000
MAX_COORDINATE_PX = 100_000.0
MAX_POLYGON_NUMBERS = 400_000
CHUNK_CHARACTERS = 1 << 15
FLAWS = {
    "alphabet": "an RLE's counts hold characters that are no COCO RLE",
    "cut": "an RLE's counts stop in the middle of a number",
    "digits": "an RLE's counts hold a run of more than 2^35 pixels",
}

Rle = dict[str, Any]


class MaskError(ValueError):
    """A mask that must not reach pycocotools; the message says what is wrong with it."""


def check_rles(rles: Sequence[Rle]) -> None:
    """Refuse any compressed COCO RLE whose runs do not fill its own `size` exactly.

    Masks are decoded together, a chunk at a time: a loop in Python would cost more than the metric itself.
    """
    pixels = np.array([_pixels(rle["size"]) for rle in rles], dtype=np.int64)
    strings = [_counts_bytes(rle["counts"]) for rle in rles]
    start = 0
    while start < len(rles):
        stop, length = start, 0
        while stop < len(rles) and (stop == start or length + len(strings[stop]) <= CHUNK_CHARACTERS):
            length += len(strings[stop])
            stop += 1
        _check_chunk(strings[start:stop], pixels[start:stop], start)
        start = stop


def _check_chunk(strings: list[bytes], pixels_M: np.ndarray, first: int) -> None:
    lengths_M = np.array([len(text) for text in strings])
    if lengths_M.min() == 0:
        index = first + int(lengths_M.argmin())
        raise MaskError(f"mask {index}: its RLE has no counts; an empty mask has one run over the whole image")
    try:
        runs, first_run_M = run_lengths_joined(b"".join(strings), lengths_M)
    except RleError as error:
        raise MaskError(FLAWS[error.flaw]) from None
    filled_M = np.add.reduceat(runs, first_run_M)
    if runs.min() >= 0 and runs.max() <= pixels_M.min() and (filled_M == pixels_M).all():
        return
    # A run larger than its mask is looked for by itself: sums of huge ones wrap around.
    is_huge_M = np.maximum.reduceat(runs, first_run_M) > pixels_M
    wrong = np.flatnonzero((np.minimum.reduceat(runs, first_run_M) < 0) | is_huge_M | (filled_M != pixels_M))
    if wrong.size:
        index = int(wrong[0])
        raise MaskError(
            f"mask {first + index}: its RLE's runs add up to {filled_M[index]} pixels, its size says {pixels_M[index]}"
        )


def _pixels(size: Any) -> int:
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(_is_count(side) for side in size):
        raise MaskError(f"an RLE's size must be [height, width] in whole pixels, not {size!r}")
    pixels = int(size[0]) * int(size[1])
    if not 0 < pixels <= MAX_PIXELS:
        raise MaskError(f"an RLE of {size[0]} x {size[1]} pixels is outside 1 to {MAX_PIXELS} pixels")
    return pixels


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= 0)


def _counts_bytes(counts: Any) -> bytes:
    if isinstance(counts, str):
        try:
            counts = counts.encode("ascii")
        except UnicodeEncodeError:
            raise MaskError("an RLE's counts hold characters outside ASCII") from None
    if not isinstance(counts, bytes):
        raise MaskError(f"a compressed RLE's counts must be text, not {type(counts).__name__}")
    return counts


def to_compressed(segmentation: Any, *, height_px: int, width_px: int) -> Rle:
    """COCO polygons, uncompressed or compressed RLE -> compressed RLE; only compressed ones still need `check_rles`.

    The way is pycocotools' own (`COCO.annToRLE`): polygons are drawn at the image's size, an RLE keeps its own.
    """
    if isinstance(segmentation, list):
        _check_polygons(segmentation)
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height_px, width_px))
    if isinstance(segmentation["counts"], list):
        _check_uncompressed(segmentation)
        return coco_mask.frPyObjects(segmentation, height_px, width_px)
    return segmentation


def _check_polygons(polygons: list[Any]) -> None:
    if not polygons or not all(isinstance(part, list) and len(part) >= 4 for part in polygons):
        raise MaskError("a polygon mask is a list of lists of at least four numbers")
    if sum(len(part) for part in polygons) > MAX_POLYGON_NUMBERS:
        raise MaskError(f"a polygon mask of more than {MAX_POLYGON_NUMBERS} numbers")
    numbers = np.asarray([number for part in polygons for number in part], dtype=np.float64)
    if not np.isfinite(numbers).all() or np.abs(numbers).max() > MAX_COORDINATE_PX:
        raise MaskError(f"a polygon has a coordinate that is no number or farther out than {MAX_COORDINATE_PX:.0f} px")


def _check_uncompressed(rle: Rle) -> None:
    pixels = _pixels(rle["size"])
    if not all(_is_count(run) for run in rle["counts"]):
        raise MaskError("an uncompressed RLE's counts must be whole numbers from 0 up")
    if sum(rle["counts"]) != pixels:
        raise MaskError(
            f"the runs of an uncompressed RLE add up to {sum(rle['counts'])} pixels, its size says {pixels}"
        )


def decode_rle(rle: Rle, *, height_px: int, width_px: int) -> np.ndarray:
    """COCO RLE -> (H, W) bool mask in original-image pixels; MaskError where it does not fit the image."""
    if not isinstance(rle, dict) or "size" not in rle or "counts" not in rle:
        raise MaskError('a mask must be {"size": [height, width], "counts": "..."}')
    _pixels(rle["size"])
    if list(rle["size"]) != [height_px, width_px]:
        raise MaskError(f"a mask of {rle['size']} pixels on an image of [{height_px}, {width_px}]")
    if isinstance(rle["counts"], list):
        rle = to_compressed(rle, height_px=height_px, width_px=width_px)
    check_rles([rle])
    return coco_mask.decode([{"size": [height_px, width_px], "counts": rle["counts"]}])[:, :, 0].astype(bool)


def encode_mask(mask_HW: np.ndarray) -> Rle:
    """(H, W) bool mask -> compressed COCO RLE with text counts, as JSON wants it."""
    rle = coco_mask.encode(np.asfortranarray(mask_HW, dtype=np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def box_xywh(rle: Rle) -> list[float]:
    """Tight box of a checked RLE, pixels."""
    return [float(value) for value in coco_mask.toBbox(rle)]


def share_inside(rle: Rle, crop_xywh: tuple[int, int, int, int]) -> float:
    """How much of a checked RLE's pixels lie in a rectangle of whole pixels, which may reach beyond the image.

    Read off the runs: how many pixels of the object come before the one at `p`, counted down the columns, is a line
    between the ends of runs. A mask of 48 megapixels need not be drawn for it.
    """
    height, width = rle["size"]
    x, y, crop_width, crop_height = crop_xywh
    runs = run_lengths(rle["counts"])
    ends = np.concatenate([[0], np.cumsum(runs)])
    before = np.concatenate([[0], np.cumsum(np.where(np.arange(runs.size) % 2, runs, 0))])
    columns = height * np.arange(max(0, x), min(width, x + crop_width))
    top, bottom = max(0, y), min(height, y + crop_height)
    if not columns.size or top >= bottom or not before[-1]:
        return 0.0
    inside = np.interp(columns + bottom, ends, before) - np.interp(columns + top, ends, before)
    return float(inside.sum() / before[-1])
