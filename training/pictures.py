"""Tokens by a ViT that learns: every picture goes through it each time it is asked for, with a gradient in a step.

What can be kept of an image is its picture at the model's size, 3 MB at SAM 3's; a thread decodes the next step's
meanwhile. Validation sees the weights as they are then, in chunks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from cachetools import LRUCache

from mlbackend.model.inputs import normalised, resized
from training.errors import Refused
from training.features import MIB, image_path, read_picture
from training.models import Model


class MovingVit:
    """A TokenSource without a cache of tokens: they are of no use once the ViT has moved."""

    def __init__(
        self, model: Model, images: str | Path, *, memory_mib: int, max_pixels: int, encode_images: int
    ) -> None:
        self.model, self.encoded = model, 0
        self._images, self._max_pixels, self._encode_images = Path(images), max_pixels, encode_images
        self._held: LRUCache[str, torch.Tensor] = LRUCache(memory_mib * MIB, lambda picture: picture.nbytes)
        self._lock = threading.Lock()
        self._sizes: dict[str, tuple[int, int]] = {}
        self._reader = ThreadPoolExecutor(1, "pictures")
        self._ahead: dict[str, Future[torch.Tensor]] = {}

    def prepare(
        self, images: Iterable[str], *, mirror: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Reads every picture once: which of them are broken, and how large they are, is known before step 1."""
        wanted = sorted(set(images))
        for image in wanted:
            if not image_path(self._images, image).is_file():
                raise Refused("absent_image", f"Image {image} of the snapshot is not in {self._images}.")
        for done, image in enumerate(wanted, start=1):
            self._picture(image)
            if progress:
                progress(done, len(wanted))

    def read_ahead(self, images: Iterable[str], *, mirrored: bool = False) -> None:
        wanted = sorted(set(images))
        for image in [image for image in self._ahead if image not in wanted]:
            self._ahead.pop(image).cancel()
        for image in wanted:
            if image not in self._ahead:
                self._ahead[image] = self._reader.submit(self._picture, image)

    def tokens(self, images: Sequence[str], *, mirrored: bool = False) -> torch.Tensor:
        pictures = [self._awaited(image) for image in images]
        if torch.is_grad_enabled():
            return self._encoded(pictures, mirrored)
        parts = range(0, len(pictures), self._encode_images)
        return torch.cat([self._encoded(pictures[start : start + self._encode_images], mirrored) for start in parts])

    def size_px(self, image: str) -> tuple[int, int]:
        if image not in self._sizes:
            self._picture(image)
        return self._sizes[image]

    def _encoded(self, pictures: Sequence[torch.Tensor], mirrored: bool) -> torch.Tensor:
        pixels_B3HW = normalised(torch.stack(list(pictures)).to(self.model.device))
        self.encoded += len(pictures)
        return self.model.network.encode(pixels_B3HW.flip(-1) if mirrored else pixels_B3HW).float()

    def _awaited(self, image: str) -> torch.Tensor:
        begun = self._ahead.pop(image, None)
        return self._picture(image) if begun is None else begun.result()

    def _picture(self, image: str) -> torch.Tensor:
        """(3, H, W) uint8 at the model's size."""
        with self._lock:
            held = self._held.get(image)
        if held is not None:
            return held
        whole_HWC = read_picture(self._images, image, max_pixels=self._max_pixels)
        picture = resized(whole_HWC, self.model.network.image_size_px)
        with self._lock:
            self._sizes[image] = (whole_HWC.shape[1], whole_HWC.shape[0])
            if picture.nbytes <= self._held.maxsize:
                self._held[image] = picture
        return picture
