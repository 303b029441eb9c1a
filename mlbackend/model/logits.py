"""Low-resolution mask logits to masks in the original image's pixels.

Legend: H, W original image; h, w logits (four times the token grid).
"""

from __future__ import annotations

import torch

from mlbackend.model.masks import WireMask, empty_wire_mask, encode_mask

COLUMNS_AT_ONCE = 64
STABILITY_OFFSET = 0.35  # chosen on drawn scenes other than those that bench/presence.py measures it on


def logits_to_wire(logits_hw: torch.Tensor, *, height_px: int, width_px: int, threshold: float = 0.0) -> WireMask:
    """Upsample logits bilinearly to the original size, THEN threshold: the official order, and officially at 0.

    Only the window that can be positive is upsampled, which gives the same pixels as the whole would.
    """
    logits_hw = logits_hw - threshold if threshold else logits_hw
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
    logits_hw: torch.Tensor,
    window_xyxy: tuple[int, int, int, int],
    *,
    height_px: int,
    width_px: int,
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
    """IoU of the mask at a higher and a lower threshold: near 1 where the outline is certain, 0 when nothing is there.

    The two lie STABILITY_OFFSET of the logits' own standard deviation apart from 0, so that a network whose logits are
    all k times as large is as stable. Of fixed ones, +1 and -1, a network with small logits would keep nothing.
    """
    offset = STABILITY_OFFSET * float(logits_hw.float().std(correction=0))
    inner, outer = int((logits_hw > offset).sum()), int((logits_hw > -offset).sum())
    return inner / outer if outer else 0.0
