"""What the frozen ViT makes of each image, computed once: 90 % of a forward pass, and every step needs it again.

Files are the ML backend's own warm embeddings (fp16 safetensors keyed by image, backbone hash and preprocessing, with a
checksum), so that a run can read what serving left behind, and runs on one backbone share one folder.
Legend: N tokens of an image, C their width.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from mlbackend.model.inputs import preprocess
from mlbackend.store.embeddings import Embedding, HotLayer, Key, WarmLayer, round_to_fp16
from mlbackend.store.images import ImageError, decode_image
from training.errors import Refused, TrainingError
from training.models import Model

log = logging.getLogger(__name__)
ENCODE_BATCH = 8
LAYER = "tokens"
UNLIMITED_BYTES = 1 << 62


class FeatureStore:
    """Tokens of images by SHA-256, from memory, disk or the ViT; `mirrored` ones are of the image flipped."""

    def __init__(
        self,
        model: Model,
        images: str | Path,
        folder: str | Path,
        *,
        read_also: str | Path | None = None,
        memory_mib: int = 1024,
        max_pixels: int = 100_000_000,
    ) -> None:
        self.model = model
        self._images = Path(images)
        self._hot = HotLayer(memory_mib * 2**20)
        self._warm = WarmLayer(Path(folder), UNLIMITED_BYTES)
        self._others = WarmLayer(Path(read_also), 0) if read_also else None
        self._max_pixels = max_pixels
        self.encoded = 0

    def prepare(
        self, images: Iterable[str], *, mirror: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Make sure that every image's tokens are there; Refused names an image that cannot be used."""
        sides = (False, True) if mirror else (False,)
        wanted = [(image, flipped) for image in sorted(set(images)) for flipped in sides]
        for image in {image for image, _ in wanted}:
            if not self._path(image).is_file():
                raise Refused("absent_image", f"Image {image} of the snapshot is not in {self._images}.")
        missing = [(image, flipped) for image, flipped in wanted if self._stored(image, flipped) is None]
        for start in range(0, len(missing), ENCODE_BATCH):
            self._encode(missing[start : start + ENCODE_BATCH])
            if progress:
                progress(min(start + ENCODE_BATCH, len(missing)), len(missing))

    def tokens(self, images: Sequence[str], *, mirrored: bool = False) -> torch.Tensor:
        """(B, N, C) fp32 on the model's device, in the order asked."""
        rows = [self._row(image, mirrored).tensors[LAYER] for image in images]
        with torch.autocast("cpu", enabled=False):  # which cannot stack fp16
            stacked = torch.stack(rows)
        return stacked.to(self.model.device, torch.float32)

    def size_px(self, image: str) -> tuple[int, int]:
        """(width, height) after EXIF transpose."""
        row = self._row(image, False)
        return row.width_px, row.height_px

    def _row(self, image: str, flipped: bool) -> Embedding:
        row = self._stored(image, flipped)
        if row is None:
            self._encode([(image, flipped)])
            row = self._stored(image, flipped)
        if row is None:
            raise TrainingError("disk", "Backbone features cannot be stored: the disk is full or the folder read-only.")
        return row

    def _key(self, image: str, flipped: bool) -> Key:
        preprocessing = f"square{self.model.network.image_size_px}-float32" + ("-mirrored" if flipped else "")
        return Key(LAYER, image, self.model.backbone_hash, preprocessing)

    def _stored(self, image: str, flipped: bool) -> Embedding | None:
        key = self._key(image, flipped)
        row = self._hot.get(key)
        if row is not None:
            return row
        row = self._warm.get(key) or (self._others.get(key) if self._others else None)
        if row is not None:
            self._hold(key, row)
        return row

    def _hold(self, key: Key, row: Embedding) -> None:
        """In memory as fp16, which loses nothing: the values were rounded to it before they were stored."""
        half = {name: tensor.to(torch.float16) for name, tensor in row.tensors.items()}
        exact = all(bool((half[name].float() == tensor).all()) for name, tensor in row.tensors.items())
        self._hot.put(key, Embedding(half if exact else row.tensors, row.width_px, row.height_px))

    @torch.inference_mode()
    def _encode(self, wanted: Sequence[tuple[str, bool]]) -> None:
        pictures = [self._read(image) for image, _ in wanted]
        network = self.model.network
        flipped = [np.ascontiguousarray(p[:, ::-1]) if f else p for p, (_, f) in zip(pictures, wanted, strict=True)]
        pixels = torch.stack([preprocess(picture, network.image_size_px) for picture in flipped])
        tokens = network.encode(pixels.to(self.model.device)).float().cpu()
        for (image, is_flipped), picture, row in zip(wanted, pictures, tokens, strict=True):
            entry = Embedding({LAYER: round_to_fp16(row).clone()}, picture.shape[1], picture.shape[0])
            self._hold(self._key(image, is_flipped), entry)
            self._warm.put(self._key(image, is_flipped), entry)
        self.encoded += len(wanted)

    def _path(self, image: str) -> Path:
        """As the image store has it, or with an ending, as a data version that was checked out has it."""
        plain = self._images / image[:2] / image
        if plain.is_file():
            return plain
        return next(plain.parent.glob(f"{image}.*"), plain)

    def _read(self, image: str) -> np.ndarray:
        try:
            return decode_image(self._path(image).read_bytes(), max_pixels=self._max_pixels)
        except FileNotFoundError:
            raise Refused("absent_image", f"Image {image} is not in the image folder {self._images}.") from None
        except (OSError, ImageError) as error:
            raise Refused("unreadable_image", f"Image {image} cannot be decoded: {error}.") from None
