"""Pictures for the page of a look: some with their masks, some of those that would be negatives."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from PIL import Image as Pixels

from annotator.common.errors import ImportRefusedError
from annotator.common.masks import decode_rle
from annotator.models import Image
from toolbox.pixels import pixels_read

from .decoders import decoders
from .formats.documents import Size
from .formats.records import ImageRecord, Instance
from .image_files import image_path, incoming_path
from .image_store import stream_copied
from .sources import ImportSource

SAMPLES, OF_AN_OFFER, SAMPLE_SIDE_PX = 8, 4, 480
KEPT_NAMES = 10_000
TINTS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167))


@dataclass(frozen=True)
class Probed:
    """Of a file of the source, as the import would see it; nothing where the import would refuse it."""

    size_px: Size | None = None
    sha256: str = ""


@contextmanager
def _copied(source: ImportSource, file: str) -> Iterator[tuple[Path, Probed]]:
    """A copy, and what the decoding child says of it. The import itself says what is wrong with a file."""
    incoming, probed = incoming_path(), Probed()
    try:
        with source.open(file) as stream:
            sha256, _ = stream_copied(stream, incoming)
        found = decoders.probe_started(incoming).result()
        if "refused" not in found:
            probed = Probed((found["width"], found["height"]), sha256)
    except (ImportRefusedError, KeyError, OSError):
        pass
    try:
        yield incoming, probed
    finally:
        incoming.unlink(missing_ok=True)


def picture_probed(source: ImportSource, file: str) -> Probed:
    with _copied(source, file) as (_, probed):
        return probed


class Samples:
    """The first pictures with objects, and negatives from all over, so that a wrong one may show."""

    def __init__(self, source: ImportSource, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._rows: list[dict[str, Any]] = []
        self._negatives: list[tuple[str | Image, list[str]]] = []
        self._seen_negatives = 0
        shutil.rmtree(folder, ignore_errors=True)

    def offer(self, file: str, records: Sequence[ImageRecord], absent: list[str]) -> None:
        self._take(file, file, records, absent)

    def offer_known(self, image: Image, records: Sequence[ImageRecord], absent: list[str]) -> None:
        self._take(image, image.original_name, records, absent)

    def drawn(self, offered: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """`offered`: pictures of each folder that may hold negatives."""
        for which, absent in _spread(self._negatives, SAMPLES):
            self._draw(which, _name(which), [], {"classes": [], "absent": absent})
        for where, files in list(offered.items())[:OF_AN_OFFER]:
            for file in _spread(files, OF_AN_OFFER):
                self._draw(file, file, [], {"classes": [], "offered": where})
        return self._rows

    def _take(self, which: str | Image, name: str, records: Sequence[ImageRecord], absent: list[str]) -> None:
        instances = [one for record in records for one in record.instances]
        if instances and len(self._rows) < SAMPLES:
            classes = list(dict.fromkeys(one.category for one in instances))
            self._draw(which, name, instances, {"classes": classes})
        elif absent and not instances:
            self._keep_negative(which, absent)

    def _keep_negative(self, which: str | Image, absent: list[str]) -> None:
        """Every one of a small import; of a huge one so many as memory is no matter of, from all over it."""
        self._seen_negatives += 1
        step = 1 + self._seen_negatives // KEPT_NAMES
        if self._seen_negatives % step == 0:
            self._negatives.append((which, absent))

    def _draw(self, which: str | Image, name: str, instances: Sequence[Instance], row: dict[str, Any]) -> None:
        pixels = self._pixels(which)
        if pixels is None:
            return
        picture = Pixels.fromarray(_tinted(pixels, instances))
        picture.thumbnail((SAMPLE_SIDE_PX, SAMPLE_SIDE_PX))
        self._folder.mkdir(parents=True, exist_ok=True)
        picture.save(self._folder / f"{len(self._rows)}.webp", "WEBP", quality=80)
        self._rows.append({"file": name[-200:], **row})

    def _pixels(self, which: str | Image) -> np.ndarray | None:
        if isinstance(which, Image):
            path = image_path(which.sha256)
            return pixels_read(path, max_pixels=settings.MAX_IMAGE_PIXELS) if path.is_file() else None
        with _copied(self._source, which) as (path, probed):
            return pixels_read(path, max_pixels=settings.MAX_IMAGE_PIXELS) if probed.size_px else None


def _name(which: str | Image) -> str:
    return which.original_name if isinstance(which, Image) else which


def _spread(of: Sequence[Any], count: int) -> list[Any]:
    """So many, evenly from the first to the last."""
    return [of[number * len(of) // count] for number in range(count)] if len(of) > count else list(of)


def _tinted(pixels: np.ndarray, instances: Sequence[Instance]) -> np.ndarray:
    """(H, W, 3) uint8 with each class's masks in a colour of its own."""
    names = list(dict.fromkeys(one.category for one in instances))
    shown = pixels.astype(np.float32)
    for one in instances:
        mask = decode_rle(one.mask)
        if mask.shape == shown.shape[:2]:
            shown[mask] = 0.5 * shown[mask] + 0.5 * np.array(TINTS[names.index(one.category) % len(TINTS)])
    return shown.astype(np.uint8)
