"""COCO RLE for the trainer: every mask is checked here before pycocotools sees it.

pycocotools 2.0.11 trusts its input: an over-long RLE crashes the process, a short one returns uninitialised memory and
a polygon with a coordinate of 1e8 takes 11 GB. Nothing in `training` calls it on a mask that has not passed this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

MAX_PIXELS = 400_000_000
MAX_COORDINATE_PX = 100_000.0
MAX_POLYGON_NUMBERS = 400_000
MAX_DIGITS = 7
CHUNK_CHARACTERS = 1 << 18

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
    runs, first_run_M = _decode_runs(b"".join(strings), lengths_M)
    filled_M = np.add.reduceat(runs, first_run_M)
    wrong = np.flatnonzero((np.minimum.reduceat(runs, first_run_M) < 0) | (filled_M != pixels_M))
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


def _decode_runs(text: bytes, lengths_M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs of M compressed RLEs, concatenated, and where each mask's first run is.

    Source: COCO's maskApi.c, rleFrString: six-bit characters from '0', five bits of value each, little end first, bit 5
    "more follows", bit 4 of the last one the sign; from the fourth run on a value is added to the run two before.
    """
    codes = np.frombuffer(text, dtype=np.uint8) - np.uint8(48)  # wraps below '0', to far above 63
    if codes.max() > 63:
        raise MaskError("an RLE's counts hold characters that are no COCO RLE")
    ends = codes < 32
    last_code_M = np.cumsum(lengths_M) - 1
    if not ends[last_code_M].all():
        raise MaskError("an RLE's counts stop in the middle of a number")
    end_codes = np.flatnonzero(ends)
    first_codes = np.concatenate([[0], end_codes[:-1] + 1])
    digits = end_codes - first_codes
    if digits.max() > MAX_DIGITS - 1:
        raise MaskError("an RLE's counts hold a run of more than 2^35 pixels")
    values = np.zeros(end_codes.size, dtype=np.int64)
    for place in range(int(digits.max()) + 1):
        longer = np.flatnonzero(digits >= place)
        values[longer] |= (codes[first_codes[longer] + place] & 31).astype(np.int64) << (5 * place)
    values -= np.where(codes[end_codes] & 16, np.int64(1) << (5 * (digits + 1)), 0)
    first_run_M = np.concatenate([[0], np.searchsorted(end_codes, last_code_M)[:-1] + 1])
    return _undo_differences(values, first_run_M), first_run_M


def _undo_differences(values: np.ndarray, first_run_M: np.ndarray) -> np.ndarray:
    """Each mask's runs 0, 1 and 2 stand as they are; every later one is a difference to the run two before.

    Every other value of the whole array is therefore a row of running sums that begin anew at those three.
    """
    begins = np.zeros(values.size, dtype=bool)
    for place in range(3):
        found = first_run_M + place
        begins[found[found < values.size]] = True
    begins[first_run_M] = True
    runs = np.empty_like(values)
    for side in (0, 1):
        part, anew = values[side::2], begins[side::2]
        if part.size:
            sums = np.cumsum(part)
            latest = np.maximum.accumulate(np.where(anew, np.arange(part.size), 0))
            runs[side::2] = sums - sums[latest] + part[latest]
    return runs


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
