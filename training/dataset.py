"""A SA-Co snapshot folder -> verified (image, phrase) pairs.

A row of `images` is one pair that a person settled. It is a positive when it has annotations and an explicit negative
when it has none; what nobody looked at is not in the snapshot at all. A pair that is not exhaustively annotated is a
positive that teaches what it holds and judges nobody; without annotations it says nothing and is never a negative.
Source: docs/contracts.md, "Trainer". Every refusal names the file and the row.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training import masks
from training.errors import Refused
from training.prompts import Given, PromptError, read_prompts

SPLITS = ("train", "val", "test", "holdout")
SHA256 = re.compile(r"[0-9a-f]{64}")
BOX_SLACK_NORM = 0.02
MAX_PHRASE = 200

Row = dict[str, Any]


@dataclass(frozen=True)
class Instance:
    """One object: its checked RLE in original-image pixels, its tight box, xyxy in 0..1, and what a person showed the
    model to have it drawn, in that order and in original pixels; older snapshots do not tell."""

    rle: masks.Rle
    box_xyxy_norm: tuple[float, float, float, float]
    prompts: tuple[Given, ...] = ()


@dataclass(frozen=True)
class Pair:
    """The unit of everything: one phrase asked of one image, with its instances: all of them where is_exhaustive.

    Images of one `scene` show the same thing; where the snapshot says nothing of it, each image is its own.
    """

    id: int
    image: str
    phrase: str
    width_px: int
    height_px: int
    instances: tuple[Instance, ...] = ()
    source: str = ""
    truth: str = ""
    round: int = 0
    is_exhaustive: bool = True
    has_crowd: bool = False
    scene: str = ""

    @property
    def is_positive(self) -> bool:
        return bool(self.instances)

    @property
    def is_negative(self) -> bool:
        """Somebody vouches that nothing is there: no instance, no crowd, and all that was there would be marked."""
        return self.is_exhaustive and not self.instances and not self.has_crowd

    @property
    def is_trainable(self) -> bool:
        """A crowd is neither presence nor absence of instances; a pair that marks nothing and vouches for nothing says
        nothing."""
        return not self.has_crowd and (self.is_positive or self.is_negative)


@dataclass(frozen=True)
class Split:
    """One document of a snapshot: as published, for the metric, and as pairs, for the network."""

    name: str
    document: Row
    pairs: tuple[Pair, ...] = field(repr=False)

    @property
    def trainable(self) -> list[Pair]:
        return [pair for pair in self.pairs if pair.is_trainable]

    @property
    def judged(self) -> list[Pair]:
        """The pairs that may judge a model: where an object more than is marked would be wrong for certain."""
        return [pair for pair in self.pairs if pair.is_exhaustive]

    @property
    def left_out_not_exhaustive(self) -> int:
        """How many pairs judge nothing, because not every instance is marked."""
        return len(self.pairs) - len(self.judged)


class Snapshot:
    """A snapshot folder. Documents are read on demand, so that what trains never opens the holdout."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise Refused("absent_snapshot", f"There is no snapshot folder {self.folder}: freeze one first.")
        self.manifest = self._manifest()

    def _manifest(self) -> Row:
        path = self.folder / "manifest.json"
        return _object(path) if path.is_file() else {}

    @property
    def hash(self) -> str:
        """The content hash that its maker gave it, else one over its documents."""
        declared = self.manifest.get("content_hash") or self.manifest.get("snapshot_hash")
        if isinstance(declared, str) and declared:
            return declared
        digest = hashlib.sha256()
        for name in SPLITS:
            path = self.folder / f"{name}.json"
            digest.update(f"{name}\n".encode() + (path.read_bytes() if path.is_file() else b""))
        return digest.hexdigest()

    def split(self, name: str) -> Split:
        """Read and check one document; Refused names the file and the row of the first fault."""
        if name not in SPLITS:
            raise Refused("bad_config", f"A snapshot has the splits {', '.join(SPLITS)}; there is no split '{name}'.")
        path = self.folder / f"{name}.json"
        if not path.is_file():
            raise Refused("malformed_snapshot", f"{path.name} is missing in the snapshot {self.folder.name}.")
        self._check_unchanged(path)
        document = _object(path)
        return Split(name, document, tuple(_pairs(document, path.name)))

    def _check_unchanged(self, path: Path) -> None:
        """A snapshot is immutable: where its maker wrote down the files' hashes, they must still hold."""
        files = self.manifest.get("files")
        promised = files.get(path.name) if isinstance(files, dict) else None
        if promised is not None and hashlib.sha256(path.read_bytes()).hexdigest() != promised:
            raise Refused(
                "malformed_snapshot",
                f"{path.name} is not what the snapshot's manifest promises: it was changed after it was frozen. "
                "Freeze a new snapshot instead.",
            )


def _object(path: Path) -> Row:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Refused("malformed_snapshot", f"{path.name} cannot be read as JSON ({error}).") from None
    if not isinstance(document, dict):
        raise Refused("malformed_snapshot", f"{path.name} must hold a JSON object, not {type(document).__name__}.")
    return document


def _pairs(document: Row, file: str) -> list[Pair]:
    images, annotations = _rows(document, "images", file), _rows(document, "annotations", file)
    if [category.get("id") for category in _rows(document, "categories", file)] != [1]:
        raise _fault(file, "categories", 'must be [{"id": 1, "name": "object"}]: other ids vanish from the metric')
    sizes = _sizes(images, file)
    rows_of_pair: dict[int, list[tuple[int, Row]]] = {pair: [] for pair in sizes}
    for index, row in enumerate(annotations):
        where = f"annotations[{index}]"
        if row.get("image_id") not in sizes:
            raise _fault(file, where, f"belongs to image_id {row.get('image_id')!r}, which no row of images has")
        _check_annotation(row, sizes[row["image_id"]], file, where)
        rows_of_pair[row["image_id"]].append((index, row))
    _check_masks(annotations, file)
    return [_pair(image, rows_of_pair[image["id"]], file) for image in images]


def _rows(document: Row, key: str, file: str) -> list[Row]:
    rows = document.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _fault(file, key, "must be a list of JSON objects")
    return rows


def _sizes(images: list[Row], file: str) -> dict[int, tuple[int, int]]:
    """Check every row of images; (height, width) in pixels by pair id."""
    sizes: dict[int, tuple[int, int]] = {}
    asked: set[tuple[str, str]] = set()
    for index, row in enumerate(images):
        where = f"images[{index}]"
        _check_image(row, file, where)
        question = (row["file_name"], row["text_input"])
        if row["id"] in sizes or question in asked:
            raise _fault(file, where, f"repeats a pair (id {row['id']}, '{row['text_input']}'): each may occur once")
        asked.add(question)
        sizes[row["id"]] = (row["height"], row["width"])
    return sizes


def _check_image(row: Row, file: str, where: str) -> None:
    for key in ("id", "width", "height"):
        if not _whole(row.get(key)) or (key != "id" and row[key] <= 0):
            raise _fault(file, where, f"needs a whole number '{key}', it has {row.get(key)!r}")
    if not isinstance(row.get("file_name"), str) or not SHA256.fullmatch(row["file_name"]):
        raise _fault(file, where, f"needs the image's SHA-256 as file_name, it has {row.get('file_name')!r}")
    phrase = row.get("text_input")
    if not isinstance(phrase, str) or not phrase.strip() or len(phrase) > MAX_PHRASE:
        raise _fault(file, where, "needs a noun phrase of 1 to 200 characters as text_input")
    if row.get("is_instance_exhaustive") not in (0, 1):
        raise _fault(file, where, "needs is_instance_exhaustive 0 or 1: is every instance annotated?")
    if not _whole(row.get("round", 0)):
        raise _fault(file, where, f"has a round that is no whole number ({row.get('round')!r})")


def _check_annotation(row: Row, size_hw: tuple[int, int], file: str, where: str) -> None:
    if row.get("category_id") != 1:
        raise _fault(file, where, f"has category_id {row.get('category_id')!r}: it must be 1 or the metric skips it")
    if row.get("iscrowd") not in (0, 1):
        raise _fault(file, where, "needs iscrowd 0 or 1")
    if not _whole(row.get("id")):
        raise _fault(file, where, f"needs a whole number 'id', it has {row.get('id')!r}")
    box = row.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_finite(value) for value in box):
        raise _fault(file, where, "needs bbox as four numbers, x y width height")
    if min(box) < -BOX_SLACK_NORM or box[0] + box[2] > 1 + BOX_SLACK_NORM or box[1] + box[3] > 1 + BOX_SLACK_NORM:
        raise _fault(file, where, f"has a bbox {box} outside 0 to 1: boxes are normalised by the image's size")
    segmentation = row.get("segmentation")
    if not isinstance(segmentation, dict) or not isinstance(segmentation.get("counts"), str):
        raise _fault(file, where, "needs a compressed COCO RLE as segmentation")
    if segmentation.get("size") != list(size_hw):
        raise _fault(file, where, f"has a mask of size {segmentation.get('size')} on an image of {list(size_hw)}")


def _check_masks(annotations: list[Row], file: str) -> None:
    """All at once, which is fast; only when one fails, one by one, to name it."""
    try:
        masks.check_rles([row["segmentation"] for row in annotations])
    except masks.MaskError:
        for index, row in enumerate(annotations):
            try:
                masks.check_rles([row["segmentation"]])
            except masks.MaskError as error:
                raise _fault(file, f"annotations[{index}]", f"has a broken mask ({error})") from None
        raise
    ids = {row["id"] for row in annotations}
    if len(ids) != len(annotations):
        raise _fault(file, "annotations", "repeats an id: each annotation needs its own")


def _pair(image: Row, rows: list[tuple[int, Row]], file: str) -> Pair:
    return Pair(
        id=image["id"],
        image=image["file_name"],
        phrase=image["text_input"],
        width_px=image["width"],
        height_px=image["height"],
        instances=tuple(_instance(row, image, file, index) for index, row in rows if not row["iscrowd"]),
        source=str(image.get("source") or ""),
        truth=str(image.get("truth") or ""),
        round=image.get("round", 0),
        is_exhaustive=bool(image["is_instance_exhaustive"]),
        has_crowd=any(row["iscrowd"] for _, row in rows),
        scene=str(image.get("scene") or image["file_name"]),
    )


def _instance(row: Row, image: Row, file: str, index: int) -> Instance:
    """The box is read off the mask, so that the two can never disagree."""
    x, y, width, height = masks.box_xywh(row["segmentation"])
    if width <= 0 or height <= 0:
        raise _fault(file, f"annotations[{index}]", "has an empty mask; a pair without instances has no annotations")
    box = (x / image["width"], y / image["height"], (x + width) / image["width"], (y + height) / image["height"])
    try:
        prompts = read_prompts(row.get("prompts", []), width_px=image["width"], height_px=image["height"])
    except PromptError as error:
        raise _fault(file, f"annotations[{index}]", f"has prompts that are none: {error}") from None
    return Instance(row["segmentation"], box, prompts)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _fault(file: str, where: str, what: str) -> Refused:
    return Refused("malformed_snapshot", f"{file}: {where} {what}.")
