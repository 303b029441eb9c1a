"""Tokens by a ViT that learns: every picture goes through it each time it is asked for, with a gradient in a step.

What can be kept of an image is its picture at the model's size, 3 MB at SAM 3's; a thread decodes the next step's
meanwhile. Validation sees the weights as they are then, in chunks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from cachetools import LRUCache

from mlbackend.model.inputs import normalised, resized
from training.errors import Refused
from training.features import MIB, image_path, read_picture
from training.models import Model
from training.token_source import in_order, looked_at
from training.view_pixels import seen_picture
from training.views import MIRRORED, PLAIN, Seen, View


class MovingVit:
    """A TokenSource without a cache of tokens: they are of no use once the ViT has moved."""

    def __init__(
        self, model: Model, images: str | Path, *, memory_mib: int, max_pixels: int, encode_images: int
    ) -> None:
        self.model, self.encoded = model, 0
        self._images, self._max_pixels, self._encode_images = Path(images), max_pixels, encode_images
        self._held: LRUCache[Seen, torch.Tensor] = LRUCache(memory_mib * MIB, lambda picture: picture.nbytes)
        self._lock = threading.Lock()
        self._sizes: dict[str, tuple[int, int]] = {}
        self._reader = ThreadPoolExecutor(1, "pictures")
        self._ahead: dict[Seen, Future[torch.Tensor]] = {}

    def prepare(
        self,
        images: Iterable[str],
        *,
        views: Iterable[Seen] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Reads every picture once: which of them are broken, and how large they are, is known before step 1."""
        wanted = sorted({*images, *(image for image, _ in views)})
        for image in wanted:
            if not image_path(self._images, image).is_file():
                raise Refused("absent_image", f"Image {image} of the snapshot is not in {self._images}.")
        for done, image in enumerate(wanted, start=1):
            self._seen((image, PLAIN))
            if progress:
                progress(done, len(wanted))

    def read_ahead(self, images: Iterable[str], views: Sequence[View] | None = None) -> None:
        wanted = in_order(looked_at(list(images), views))
        for seen in [seen for seen in self._ahead if seen not in wanted]:
            self._ahead.pop(seen).cancel()
        for seen in wanted:
            if seen not in self._ahead:
                self._ahead[seen] = self._reader.submit(self._seen, seen)

    def tokens(self, images: Sequence[str], views: Sequence[View] | None = None) -> torch.Tensor:
        pictures = [self._awaited(seen) for seen in looked_at(images, views)]
        if torch.is_grad_enabled():
            return self._encoded(pictures)
        parts = range(0, len(pictures), self._encode_images)
        return torch.cat([self._encoded(pictures[start : start + self._encode_images]) for start in parts])

    def size_px(self, image: str) -> tuple[int, int]:
        if image not in self._sizes:
            self._seen((image, PLAIN))
        return self._sizes[image]

    def picture(self, image: str) -> np.ndarray:
        return read_picture(self._images, image, max_pixels=self._max_pixels)

    def _encoded(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        pixels_B3HW = normalised(torch.stack(list(pictures)).to(self.model.device))
        self.encoded += len(pictures)
        return self.model.network.encode(pixels_B3HW).float()

    def _awaited(self, seen: Seen) -> torch.Tensor:
        begun = self._ahead.pop(seen, None)
        return self._seen(seen) if begun is None else begun.result()

    def _seen(self, seen: Seen) -> torch.Tensor:
        """(3, H, W) uint8 at the model's size, as the view shows it; mirrored ones are made of the plain."""
        image, view = seen
        if view == MIRRORED:
            return self._seen((image, PLAIN)).flip(-1)
        with self._lock:
            held = self._held.get(seen)
        return self._read(image, view) if held is None else held

    def _read(self, image: str, view: View) -> torch.Tensor:
        whole_HWC, side_px = self.picture(image), self.model.network.image_size_px
        picture = resized(seen_picture(whole_HWC, view, side_px), side_px)
        with self._lock:
            self._sizes[image] = (whole_HWC.shape[1], whole_HWC.shape[0])
            if picture.nbytes <= self._held.maxsize:
                self._held[image, view] = picture
        return picture
