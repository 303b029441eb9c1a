"""Two caches of the engine, each within a byte budget: masks to refine, and images that others lent."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass

import torch
from cachetools import LRUCache

from mlbackend.errors import ApiError, bad_request


@dataclass(frozen=True)
class CachedMask:
    """As the decoder gave them: what is drawn from these at 0 is what the click was answered with."""

    image: str
    model_version: str
    logits_hw: torch.Tensor
    height_px: int
    width_px: int


class MaskCache:
    """Low-resolution logits of recent answers by an unguessable id: to refine them, or to cut them elsewhere."""

    def __init__(self, budget_bytes: int) -> None:
        self._masks: LRUCache[str, CachedMask] = LRUCache(
            budget_bytes, getsizeof=lambda cached: cached.logits_hw.nbytes
        )

    def put(self, cached: CachedMask) -> str:
        mask_id = secrets.token_urlsafe(12)
        with contextlib.suppress(ValueError):  # larger than the whole budget: it is not cached
            self._masks[mask_id] = cached
        return mask_id

    def get(self, mask_id: str, image: str, size_hw: tuple[int, int]) -> torch.Tensor:
        """ApiError bad_request where the id is unknown, or the mask is not one for this image and model."""
        cached = self._masks.get(mask_id)
        if cached is None:
            raise bad_request(
                "earlier_mask_id is unknown or has been forgotten; send the click without it.", "earlier_mask_id"
            )
        if cached.image != image:
            raise bad_request("earlier_mask_id belongs to another image.", "earlier_mask_id")
        if tuple(cached.logits_hw.shape) != size_hw:
            raise bad_request("earlier_mask_id comes from a model of another size.", "earlier_mask_id")
        return cached.logits_hw

    def find(self, mask_id: str, image: str) -> CachedMask:
        """ApiError unknown_mask where this image has no such mask (any more)."""
        cached = self._masks.get(mask_id)
        if cached is None or cached.image != image:
            message = (
                "This mask is unknown for this image, or has been forgotten since it was drawn: click the "
                "object again, then make the new mask tighter or looser."
            )
            raise ApiError(404, "unknown_mask", message, fields={"mask_id": message})
        return cached


class LentImages:
    """Images that came over the network and are in no store of ours, by content hash."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget, self._bytes = budget_bytes, 0
        self._images: OrderedDict[str, bytes] = OrderedDict()

    def put(self, data: bytes) -> str:
        image = hashlib.sha256(data).hexdigest()
        if image not in self._images:
            self._images[image] = data
            self._bytes += len(data)
        self._images.move_to_end(image)
        while self._bytes > self._budget and len(self._images) > 1:
            self._bytes -= len(self._images.popitem(last=False)[1])
        return image

    def get(self, image: str) -> bytes | None:
        return self._images.get(image)
