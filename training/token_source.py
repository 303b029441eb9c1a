"""Where the heads get an image's tokens from: a cache of what a frozen ViT made, or a ViT that learns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import torch


class TokenSource(Protocol):
    """N tokens of an image, C their width."""

    encoded: int

    def prepare(
        self, images: Iterable[str], *, mirror: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Everything that can be refused is refused here; Refused names an image that cannot be used."""

    def read_ahead(self, images: Iterable[str], *, mirrored: bool = False) -> None:
        """Begin to read what is asked for next."""

    def tokens(self, images: Sequence[str], *, mirrored: bool = False) -> torch.Tensor:
        """(B, N, C) fp32 on the model's device, in the order asked."""

    def size_px(self, image: str) -> tuple[int, int]:
        """(width, height) after EXIF transpose."""
