"""A pair's truth as the losses want it, decoded once.

Masks are trained at twice the resolution of the mask logits: finer would cost more than it teaches, and at the logits'
own resolution an outline cannot reach IoU 0.95. Legend: M instances of a pair, h w rows and columns of the target.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from training import masks
from training.dataset import Pair
from training.losses import Target

TARGET_CELLS_PER_TOKEN = 8


class Targets:
    """Truth by pair, kept packed to bits: eight thousand instances of the demo model's size take 16 MB."""

    def __init__(self, grid_size: int) -> None:
        self._side = TARGET_CELLS_PER_TOKEN * grid_size
        self._packed: dict[int, np.ndarray] = {}

    def of(self, pair: Pair, *, mirrored: bool = False) -> Target:
        boxes = torch.tensor([instance.box_xyxy_norm for instance in pair.instances], dtype=torch.float32).reshape(
            -1, 4
        )
        masks_Mhw = self._masks(pair)
        if mirrored:
            boxes = torch.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], dim=1)
            masks_Mhw = masks_Mhw.flip(-1)
        return Target(boxes, masks_Mhw, pair.is_exhaustive)

    def _masks(self, pair: Pair) -> torch.Tensor:
        if not pair.instances:
            return torch.zeros(0, self._side, self._side)
        if pair.id not in self._packed:
            whole = np.stack([self._shrink(instance.rle, pair) for instance in pair.instances])
            self._packed[pair.id] = np.packbits(whole, axis=-1)
        return torch.from_numpy(np.unpackbits(self._packed[pair.id], axis=-1, count=self._side)).float()

    def _shrink(self, rle: masks.Rle, pair: Pair) -> np.ndarray:
        """(h, w) bool: cells that the object fills by half; an object too thin for that keeps the cells it touches."""
        mask_HW = masks.decode_rle(rle, height_px=pair.height_px, width_px=pair.width_px)
        share = F.interpolate(
            torch.from_numpy(mask_HW)[None, None].float(), size=(self._side, self._side), mode="area"
        )[0, 0]
        half = share >= 0.5
        return (half if bool(half.any()) else share > 0).numpy()
