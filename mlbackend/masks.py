"""Masks on the wire: COCO RLE of the mask's own crop; and low-resolution logits to pixels.

Legend: H, W original image; h, w low-resolution logits (four times the token grid).
"""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import torch
from pycocotools import mask as coco

MAX_MASK_PIXELS = 400_000_000
COLUMNS_AT_ONCE = 64


class MaskError(ValueError):
    """A mask from outside is not what it claims to be."""


class WireMask(TypedDict):
    size: list[int]
    crop_xywh: list[int]
    counts: str


def empty_wire_mask(height_px: int, width_px: int) -> WireMask:
    return {"size": [height_px, width_px], "crop_xywh": [0, 0, 0, 0], "counts": ""}


def encode_mask(mask_HW: np.ndarray, *, origin_xy: tuple[int, int] = (0, 0), size_hw: tuple[int, int] | None = None,
                ) -> WireMask:
    """Crop a bool mask to its own box and encode that. mask_HW may itself be a window at origin_xy of size_hw.

    Quickest for Fortran order, in which COCO counts.
    """
    height, width = size_hw or mask_HW.shape
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    if not len(rows):
        return empty_wire_mask(height, width)
    top, left = int(rows[0]), int(columns[0])
    crop = mask_HW[top:int(rows[-1]) + 1, left:int(columns[-1]) + 1]
    counts = coco.encode(np.asfortranarray(crop).view(np.uint8))["counts"].decode("ascii")
    return {"size": [height, width], "counts": counts,
            "crop_xywh": [origin_xy[0] + left, origin_xy[1] + top, crop.shape[1], crop.shape[0]]}


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
        mask[y:y + h, x:x + w] = decode_counts(counts, height_px=h, width_px=w)
    elif counts:
        raise MaskError("an empty crop has no counts")
    return mask


def decode_counts(counts: str, *, height_px: int, width_px: int) -> np.ndarray:
    """Expand compressed COCO RLE after checking that its runs fill exactly height_px * width_px."""
    runs = run_lengths(counts)
    if any(run < 0 for run in runs) or sum(runs) != height_px * width_px:
        raise MaskError(f"the runs add up to {sum(runs)} and not to {width_px} x {height_px} px")
    return coco.decode({"size": [height_px, width_px], "counts": counts.encode("ascii")}).astype(bool)


def run_lengths(counts: str) -> list[int]:
    """The run lengths inside a compressed COCO RLE string (LEB128-like, each from the third on a difference)."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 30:
            raise MaskError("counts is not compressed COCO RLE")
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value |= -1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise MaskError("counts ends in the middle of a number")
    return runs


def logits_to_wire(logits_hw: torch.Tensor, *, height_px: int, width_px: int) -> WireMask:
    """Upsample logits bilinearly to the original size, THEN threshold at 0: the official order.

    Only the window that can be positive is upsampled, which gives the same pixels as the whole would.
    """
    window = positive_window(logits_hw, height_px=height_px, width_px=width_px)
    if window is None:
        return empty_wire_mask(height_px, width_px)
    mask_WH = _window_mask(logits_hw.cpu(), window, height_px=height_px, width_px=width_px)
    return encode_mask(mask_WH.numpy().T, origin_xy=window[:2], size_hw=(height_px, width_px))


def positive_window(logits_hw: torch.Tensor, *, height_px: int, width_px: int) -> tuple[int, int, int, int] | None:
    """The box x0 y0 x1 y1 in original pixels outside which bilinear interpolation cannot exceed 0."""
    positive = logits_hw > 0
    rows, columns = positive.any(dim=1).nonzero(), positive.any(dim=0).nonzero()
    if not len(rows):
        return None
    x0, x1 = _reach(int(columns[0]), int(columns[-1]), logits_hw.shape[1], width_px)
    y0, y1 = _reach(int(rows[0]), int(rows[-1]), logits_hw.shape[0], height_px)
    return x0, y0, x1, y1


def _reach(first: int, last: int, cells: int, pixels: int) -> tuple[int, int]:
    """Pixels whose two nearest cells include one of first..last; one pixel to spare against rounding."""
    scale = pixels / cells
    return max(0, int((first - 0.5) * scale) - 1), min(pixels, int((last + 1.5) * scale) + 2)


def _window_mask(
    logits_hw: torch.Tensor, window_xyxy: tuple[int, int, int, int], *, height_px: int, width_px: int,
) -> torch.Tensor:
    """Where F.interpolate(bilinear, align_corners=False) of the logits exceeds 0, computed for the window alone.

    (W, H), since COCO's runs go down columns; a few columns at a time, which then stay in the processor's cache.
    """
    x0, y0, x1, y1 = window_xyxy
    logits_wh = logits_hw.float().T
    low, high, weight = _taps(y0, y1, logits_wh.shape[1], height_px)
    tall_wH = torch.lerp(logits_wh[:, low], logits_wh[:, high], weight[None, :])
    low, high, weight = _taps(x0, x1, logits_wh.shape[0], width_px)
    mask_WH = torch.empty((x1 - x0, y1 - y0), dtype=torch.bool)
    for start in range(0, x1 - x0, COLUMNS_AT_ONCE):
        part = slice(start, start + COLUMNS_AT_ONCE)
        fine = torch.lerp(tall_wH[low[part]], tall_wH[high[part]], weight[part, None])
        torch.gt(fine, 0, out=mask_WH[part])
    return mask_WH


def _taps(start: int, stop: int, cells: int, pixels: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The two cells and the second one's weight, for each target pixel start..stop."""
    centre = (torch.arange(start, stop, dtype=torch.float64) + 0.5) * (cells / pixels) - 0.5
    centre = centre.clamp(min=0)
    low = centre.floor().long().clamp(max=cells - 1)
    high = (low + 1).clamp(max=cells - 1)
    return low, high, (centre - low).to(torch.float32)


def stability(logits_hw: torch.Tensor) -> float:
    """IoU of the mask at logits +1 and at -1: near 1 where the outline is certain. 0 when nothing reaches -1."""
    inner, outer = int((logits_hw > 1).sum()), int((logits_hw > -1).sum())
    return inner / outer if outer else 0.0
