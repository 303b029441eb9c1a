"""What the frozen ViT makes of each image, computed once: 90 % of a forward pass, and every step needs it again.

Files are the ML backend's own warm embeddings (fp16 safetensors keyed by image, backbone hash and preprocessing, with a
checksum), so that a run can read what serving left behind, and runs on one backbone share one folder.
Legend: N tokens of an image, C their width.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from mlbackend.model.inputs import preprocess
from mlbackend.store.embeddings import Embedding, HotLayer, Key, WarmLayer, preprocessing_of, round_to_fp16
from mlbackend.store.images import ImageError, decode_image
from training.errors import Refused
from training.models import Model
from training.token_source import in_order, looked_at
from training.view_pixels import seen_picture
from training.views import PLAIN, Seen, View
from training.vit import FrozenVit

log = logging.getLogger(__name__)
ENCODE_BATCH = 8
LAYER = "tokens"
UNLIMITED_BYTES = 1 << 62
MIB = 2**20


def image_path(folder: Path, image: str) -> Path:
    """As the image store has it, or with an ending, as a data version that was checked out has it."""
    plain = folder / image[:2] / image
    return plain if plain.is_file() else next(plain.parent.glob(f"{image}.*"), plain)


def read_picture(folder: Path, image: str, *, max_pixels: int) -> np.ndarray:
    """RGB uint8 (H, W, 3), upright; Refused names the image."""
    try:
        return decode_image(image_path(folder, image).read_bytes(), max_pixels=max_pixels)
    except FileNotFoundError:
        raise Refused("absent_image", f"Image {image} is not in the image folder {folder}.") from None
    except (OSError, ImageError) as error:
        raise Refused("unreadable_image", f"Image {image} cannot be decoded: {error}.") from None


class FeatureStore:
    """Tokens of images by SHA-256, each as a view shows it, from memory, disk or the ViT."""

    def __init__(
        self,
        model: Model,
        images: str | Path,
        folder: str | Path,
        *,
        read_also: str | Path | None = None,
        memory_mib: int = 1024,
        disk_mib: int | None = None,
        max_pixels: int = 100_000_000,
        vit_dtype: torch.dtype = torch.float32,
        encode_images: int = ENCODE_BATCH,
        keeps: bool = True,
    ) -> None:
        """keeps: what is encoded is written to the folder, which has one writer where several processes train."""
        self.model = model
        self._keeps = keeps
        self.vit = FrozenVit(model, vit_dtype)
        self._images = Path(images)
        self._hot = HotLayer(memory_mib * MIB)
        self._folders = [Path(folder), *([Path(read_also)] if read_also else [])]
        self._warm = WarmLayer(Path(folder), UNLIMITED_BYTES if disk_mib is None else disk_mib * MIB)
        self._others = WarmLayer(Path(read_also), 0) if read_also else None
        self._memory_mib, self._disk_mib = memory_mib, disk_mib
        self._max_pixels, self._encode_images = max_pixels, encode_images
        self._sizes: dict[str, tuple[int, int]] = {}
        self._reader = ThreadPoolExecutor(1, "features")
        self._ahead: dict[Key, Future[Embedding | None]] = {}
        self.encoded = 0

    def prepare(
        self,
        images: Iterable[str],
        *,
        views: Iterable[Seen] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Make sure that every image's tokens are there, and the views'; Refused names an image that cannot be used.

        Files are not read for that: their names say what they hold, and whoever reads one looks at its checksum.
        """
        wanted = in_order([*((image, PLAIN) for image in images), *views])
        for image in {image for image, _ in wanted}:
            if not image_path(self._images, image).is_file():
                raise Refused("absent_image", f"Image {image} of the snapshot is not in {self._images}.")
        missing = self.missing(wanted)
        if not missing:
            return
        self._check_space(len(wanted), len(missing))
        with self.vit.ready():
            for start in range(0, len(missing), self._encode_images):
                self._encode(missing[start : start + self._encode_images])
                if progress:
                    progress(min(start + self._encode_images, len(missing)), len(missing))

    @property
    def bytes_an_image(self) -> int:
        """As they are held and stored: fp16."""
        network = self.model.network
        return 2 * network.grid_size**2 * network.detector.config.vision_config.backbone_config.hidden_size

    def _check_space(self, wanted: int, missing: int) -> None:
        """Refused where a run would encode the same images again and again, or fill the disk."""
        needed = wanted * self.bytes_an_image
        if self._disk_mib is not None and needed > (self._disk_mib + self._memory_mib) * MIB:
            raise Refused(
                "features_budget",
                f"The features of {wanted} images take {needed / MIB:.0f} MiB, features_mib is {self._disk_mib} and "
                f"memory_mib {self._memory_mib}: raise features_mib, or take a smaller snapshot.",
            )
        folder = next(path for path in [self._folders[0], *self._folders[0].resolve().parents] if path.exists())
        free, more = shutil.disk_usage(folder).free, missing * self.bytes_an_image
        if more > free + self._memory_mib * MIB:
            raise Refused(
                "disk_full",
                f"The features of {missing} images not encoded yet take {more / MIB:.0f} MiB, {free / MIB:.0f} are "
                f"free in {folder}: free some space, or name another folder in features.",
            )

    @property
    def held_bytes(self) -> int:
        return self._hot.bytes

    def missing(self, wanted: Sequence[Seen]) -> list[Seen]:
        """Those that neither folder has."""
        return [one for one in wanted if self._file(self._key(*one)) is None]

    def read_ahead(self, images: Iterable[str], views: Sequence[View] | None = None) -> None:
        """Begin to read what is asked for next, on a thread of its own; what was begun and not used is dropped."""
        wanted = [self._key(*seen) for seen in in_order(looked_at(list(images), views))]
        for key in [key for key in self._ahead if key not in wanted]:
            self._ahead.pop(key).cancel()
        for key in wanted:
            if key not in self._ahead and self._hot.get(key) is None:
                self._ahead[key] = self._reader.submit(self._read_warm, key)

    def tokens(self, images: Sequence[str], views: Sequence[View] | None = None) -> torch.Tensor:
        """(B, N, C) fp32 on the model's device, in the order asked; without views, of the images as they are."""
        rows = [self._row(*seen).tensors[LAYER] for seen in looked_at(images, views)]
        with torch.autocast("cpu", enabled=False):  # which cannot stack fp16
            stacked = torch.stack(rows)
        return stacked.to(self.model.device).float()

    def size_px(self, image: str) -> tuple[int, int]:
        """(width, height) after EXIF transpose, from the header of the image's features."""
        if image not in self._sizes:
            found = self._stored_size(self._key(image, PLAIN))
            if found is None:
                row = self._row(image, PLAIN)
                found = row.width_px, row.height_px
            self._sizes[image] = found
        return self._sizes[image]

    def _stored_size(self, key: Key) -> tuple[int, int] | None:
        path = self._file(key)
        if path is None:
            return None
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
            return int(metadata["width_px"]), int(metadata["height_px"])
        except Exception as error:  # safetensors raises its own type for every kind of damage; reading it makes it anew
            log.warning("features %s have no header: %s", path, error)
            return None

    def _file(self, key: Key) -> Path | None:
        return next((path for folder in self._folders if (path := key.path(folder)).is_file()), None)

    def _row(self, image: str, view: View) -> Embedding:
        row = self._stored(image, view)
        if row is None:
            with self.vit.ready():
                row = self._encode([(image, view)])[0]
        return row

    def _key(self, image: str, view: View) -> Key:
        preprocessing = preprocessing_of(self.model.network.image_size_px, self.vit.dtype)
        return Key(LAYER, image, self.model.backbone_hash, preprocessing + view.key)

    def _stored(self, image: str, view: View) -> Embedding | None:
        key = self._key(image, view)
        begun = self._ahead.pop(key, None)
        row = self._hot.get(key)
        if row is not None:
            return row
        return begun.result() if begun is not None else self._read_warm(key)

    def _read_warm(self, key: Key) -> Embedding | None:
        row = self._warm.get(key) or (self._others.get(key) if self._others else None)
        return None if row is None else self._hold(key, row)

    def _hold(self, key: Key, row: Embedding) -> Embedding:
        """In memory as fp16, which loses nothing: the values were rounded to it before they were stored."""
        half = {name: tensor.to(torch.float16) for name, tensor in row.tensors.items()}
        exact = all(bool((half[name].float() == tensor).all()) for name, tensor in row.tensors.items())
        held = Embedding(half if exact else row.tensors, row.width_px, row.height_px)
        self._hot.put(key, held)
        return held

    def _encode(self, wanted: Sequence[Seen]) -> list[Embedding]:
        """An image of several views is read once, and a header has the size of the whole image in any of them."""
        side = self.model.network.image_size_px
        pictures = {image: self.picture(image) for image in dict.fromkeys(image for image, _ in wanted)}
        pixels = [preprocess(seen_picture(pictures[image], view, side), side) for image, view in wanted]
        rows = []
        for (image, view), row in zip(wanted, self.vit.encode(torch.stack(pixels)), strict=True):
            height, width = pictures[image].shape[:2]
            entry = Embedding({LAYER: round_to_fp16(row).clone()}, width, height)
            rows.append(self._hold(self._key(image, view), entry))
            if self._keeps:
                self._warm.put(self._key(image, view), entry)
        self.encoded += len(wanted)
        return rows

    def picture(self, image: str) -> np.ndarray:
        """RGB uint8 (H, W, 3), upright; Refused names one that cannot be read."""
        return read_picture(self._images, image, max_pixels=self._max_pixels)
