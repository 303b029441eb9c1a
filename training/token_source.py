"""Where the heads get an image's tokens from: a cache of what a frozen ViT made, or a ViT that learns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
import torch

from training.models import Model
from training.views import PLAIN, Seen, View


class TokenSource(Protocol):
    """N tokens of an image, C their width; each image as a view shows it, without views as it is."""

    model: Model
    encoded: int

    def prepare(
        self,
        images: Iterable[str],
        *,
        views: Iterable[Seen] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Everything that can be refused is refused here; Refused names an image that cannot be used."""

    def read_ahead(self, images: Iterable[str], views: Sequence[View] | None = None) -> None:
        """Begin to read what is asked for next."""

    def tokens(self, images: Sequence[str], views: Sequence[View] | None = None) -> torch.Tensor:
        """(B, N, C) fp32 on the model's device, in the order asked."""

    def size_px(self, image: str) -> tuple[int, int]:
        """(width, height) after EXIF transpose."""

    def picture(self, image: str) -> np.ndarray:
        """RGB uint8 (H, W, 3), upright; Refused names one that cannot be read."""


def looked_at(images: Sequence[str], views: Sequence[View] | None) -> list[Seen]:
    return list(zip(images, views or [PLAIN] * len(images), strict=True))


def in_order(wanted: Iterable[Seen]) -> list[Seen]:
    """Each once, the views of an image beside one another."""
    return sorted(set(wanted), key=lambda seen: (seen[0], seen[1].key))
