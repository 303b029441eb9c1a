"""A pair's truth as the losses want it, decoded once.

Masks are trained at twice the resolution of the mask logits: finer would cost more than it teaches, and at the logits'
own resolution an outline cannot reach IoU 0.95. Legend: M instances of a pair, h w rows and columns of the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from cachetools import LRUCache

from training import masks
from training.dataset import Pair
from training.losses import Target
from training.view_pixels import cut
from training.views import PLAIN, View

TARGET_CELLS_PER_TOKEN = 8
PARTS_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Packed:
    """Boxes (M, 4) xyxy in 0..1 and masks (M, h, w / 8), packed to bits."""

    boxes_xyxy_norm: np.ndarray
    bits: np.ndarray


class Targets:
    """Truth by pair, kept packed to bits: eight thousand instances of the demo model's size take 16 MB.

    Of drawn views, which are parts of a picture, as much is kept as PARTS_BYTES holds.
    """

    def __init__(self, grid_size: int) -> None:
        self._side = TARGET_CELLS_PER_TOKEN * grid_size
        self._whole: dict[int, Packed] = {}
        self._parts: LRUCache[tuple[int, View], Packed] = LRUCache(PARTS_BYTES, getsizeof=lambda one: one.bits.nbytes)

    def of(self, pair: Pair, view: View = PLAIN) -> Target:
        """What the pair's image shows in this view; an object of which nothing lies in it is not there."""
        packed = self._packed(pair, view)
        boxes = torch.from_numpy(packed.boxes_xyxy_norm).clone()
        masks_Mhw = torch.from_numpy(np.unpackbits(packed.bits, axis=-1, count=self._side)).float()
        if view.mirrored:
            boxes = torch.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], dim=1)
            masks_Mhw = masks_Mhw.flip(-1)
        return Target(boxes, masks_Mhw, pair.is_exhaustive)

    def objects(self, pair: Pair, view: View = PLAIN) -> int:
        """How many of the pair's instances the view shows."""
        return len(pair.instances) if view.crop_xywh is None else len(self._packed(pair, view).bits)

    def _packed(self, pair: Pair, view: View) -> Packed:
        """Not mirrored yet: that is done to what comes out, as cheaply."""
        if view.crop_xywh is None:
            if pair.id not in self._whole:
                self._whole[pair.id] = self._pack(pair, PLAIN)
            return self._whole[pair.id]
        key = pair.id, View(view.crop_xywh)
        if key not in self._parts:
            packed = self._pack(pair, key[1])
            if packed.bits.nbytes <= PARTS_BYTES:
                self._parts[key] = packed
            return packed
        return self._parts[key]

    def _pack(self, pair: Pair, view: View) -> Packed:
        boxes, rows = [], []
        for instance in pair.instances:
            part_HW = cut(_drawn(instance.rle, pair), view, beyond=False)
            if part_HW.any():
                boxes.append(instance.box_xyxy_norm if view == PLAIN else box_around(part_HW))
                rows.append(np.packbits(self._shrink(part_HW), axis=-1))
        bits = np.stack(rows) if rows else np.zeros((0, self._side, -(-self._side // 8)), np.uint8)
        return Packed(np.array(boxes, dtype=np.float32).reshape(-1, 4), bits)

    def _shrink(self, mask_HW: np.ndarray) -> np.ndarray:
        """(h, w) bool: cells that the object fills by half; an object too thin for that keeps the cells it touches."""
        share = F.interpolate(
            torch.from_numpy(mask_HW)[None, None].float(), size=(self._side, self._side), mode="area"
        )[0, 0]
        half = share >= 0.5
        return (half if bool(half.any()) else share > 0).numpy()


def box_around(mask_HW: np.ndarray) -> tuple[float, float, float, float]:
    """xyxy in 0..1 of the mask's size, around all of its pixels, of which there are some."""
    height, width = mask_HW.shape
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height


def _drawn(rle: masks.Rle, pair: Pair) -> np.ndarray:
    return masks.decode_rle(rle, height_px=pair.height_px, width_px=pair.width_px)
