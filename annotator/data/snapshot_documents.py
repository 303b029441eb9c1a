"""A snapshot's files, written pair by pair: a SA-Co document a split, and the list of pairs that its hash is taken of.

`pairs.jsonl` holds what makes one data version equal to another and nothing else: no row ids, no names of projects or
sources. A snapshot's hash is the SHA-256 of that file, so `sha256sum pairs.jsonl` proves it. The lines lie in the order
of image hash and phrase, which is what lets two versions be compared by reading both once.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from annotator.common.instances import click_prompts
from annotator.common.masks import Rle
from annotator.models import Image, Pair

from .writers.saco import annotation_row

CATEGORIES = [{"id": 1, "name": "object"}]
PAIRS_FILE = "pairs.jsonl"
DOCUMENTS = tuple(f"{split}.json" for split in Image.Split.values)
COUNTED = ("pairs", "positives", "negatives", "instances", "not_exhaustive", "without_masks")


@dataclass(frozen=True)
class SettledPair:
    """What of a settled pair goes into a snapshot; `masks` in one order whatever order they were drawn in.

    `prompts` and `origins` belong to the masks, one each: what a person showed the model to have it drawn, and how the
    mask came about.
    """

    sha256: str
    width: int
    height: int
    split: str
    phrase: str
    category_id: int
    truth: str
    masks: tuple[Rle, ...]
    prompts: tuple[list[dict[str, Any]], ...]
    origins: tuple[dict[str, Any], ...]
    is_exhaustive: bool
    source: str
    truth_source: str
    round: int
    scene: str = ""

    @property
    def is_without_masks(self) -> bool:
        """Present, and nothing outlined: as a row it would read as a negative, which it is not."""
        return self.truth == Pair.Truth.PRESENT and not self.masks


def settled_pair(row: dict[str, Any]) -> SettledPair:
    """From the pair's columns. A coarse instance is not settled: without it, the rest is not every instance."""
    drawn = row["instances"] if row["truth"] == Pair.Truth.PRESENT else []
    settled = sorted((instance for instance in drawn if not instance.get("coarse")), key=_instance_order)
    return SettledPair(
        sha256=row["image__sha256"],
        width=row["image__width"],
        height=row["image__height"],
        split=row["image__split"],
        phrase=row["concept__name"],
        category_id=row["concept__category_id"],
        truth=row["truth"],
        masks=tuple(instance["mask"] for instance in settled),
        prompts=tuple(click_prompts(instance) for instance in settled),
        origins=tuple(_origin(instance) for instance in settled),
        is_exhaustive=row["is_exhaustive"] and len(settled) == len(drawn),
        source=row["image__source"],
        truth_source=row["truth_source"],
        round=row["round"],
        scene=row["image__scene"],
    )


COLUMNS = (
    *("image__sha256", "image__width", "image__height", "image__split", "image__source", "concept__name"),
    *("concept__category_id", "truth", "truth_source", "instances", "is_exhaustive", "round", "image__scene"),
)


def _instance_order(instance: dict[str, Any]) -> tuple[list[int], str, bytes]:
    return (*_mask_order(instance["mask"]), canonical([click_prompts(instance), _origin(instance)]))


def _origin(instance: dict[str, Any]) -> dict[str, Any]:
    """Nothing where it is not known."""
    if not instance.get("origin"):
        return {}
    return {"origin": instance["origin"], "edited": bool(instance.get("edited"))}


def _mask_order(mask: Rle) -> tuple[list[int], str]:
    return list(mask["size"]), str(mask["counts"])


def pair_line(
    *, sha256: str, phrase: str, split: str, size_px: tuple[int, int], masks: Sequence[Rle], is_exhaustive: bool
) -> dict[str, Any]:
    """One line of pairs.jsonl; size_px is (width, height). Of the masks it holds a hash."""
    return {
        "file_name": sha256,
        "text_input": phrase,
        "split": split,
        "width": size_px[0],
        "height": size_px[1],
        "verdict": Pair.Truth.PRESENT.value if masks else Pair.Truth.ABSENT.value,
        "is_exhaustive": int(is_exhaustive),
        "instances": len(masks),
        "masks": _masks_hash(masks),
    }


def _masks_hash(masks: Sequence[Rle]) -> str:
    if not masks:
        return ""
    ordered = sorted(_mask_order(mask) for mask in masks)
    return hashlib.sha256(canonical([[*size, counts] for size, counts in ordered])).hexdigest()


def canonical(content: Any) -> bytes:
    """The one way to write this content, so that equal content has equal bytes."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


@dataclass(frozen=True)
class Written:
    """`counts` = {split: {pairs, positives, …}}; `files` = {name: SHA-256}."""

    content_hash: str
    counts: dict[str, dict[str, int]]
    files: dict[str, str]


def documents_write(*, folder: Path, pairs: Iterable[SettledPair]) -> Written:
    """All documents and pairs.jsonl, into an empty folder; `pairs` come by image hash. Few of them are held at once."""
    documents = {split: _Document(folder, split) for split in Image.Split.values}
    pair_id = annotation_id = 0
    with (folder / PAIRS_FILE).open("wb") as lines:
        for pair in _by_phrase(pairs):
            document = documents[pair.split]
            if pair.is_without_masks:
                document.counts["without_masks"] += 1
                continue
            pair_id += 1
            rows = list(_annotation_rows(annotation_id + 1, pair_id, pair))
            annotation_id += len(rows)
            document.add(_image_row(pair_id, pair), rows)
            lines.write(canonical(_line_of(pair)) + b"\n")
    for document in documents.values():
        document.close()
    files = {name: file_sha256(folder / name) for name in (*DOCUMENTS, PAIRS_FILE)}
    return Written(files[PAIRS_FILE], {split: one.counts for split, one in documents.items()}, files)


def _by_phrase(pairs: Iterable[SettledPair]) -> Iterator[SettledPair]:
    """The pairs of an image by phrase: the database's idea of order may differ from that of Python's strings."""
    held: list[SettledPair] = []
    for pair in pairs:
        if held and held[0].sha256 != pair.sha256:
            yield from sorted(held, key=lambda one: one.phrase)
            held = []
        held.append(pair)
    yield from sorted(held, key=lambda one: one.phrase)


def _line_of(pair: SettledPair) -> dict[str, Any]:
    return pair_line(
        sha256=pair.sha256,
        phrase=pair.phrase,
        split=pair.split,
        size_px=(pair.width, pair.height),
        masks=pair.masks,
        is_exhaustive=pair.is_exhaustive,
    )


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Document:
    """One split's document while it grows: its two long lists lie in files of their own until the end."""

    def __init__(self, folder: Path, split: str) -> None:
        self.path = folder / f"{split}.json"
        self.counts = dict.fromkeys(COUNTED, 0)
        self._images = _Rows(folder / f"{split}.images")
        self._annotations = _Rows(folder / f"{split}.annotations")

    def add(self, image: dict[str, Any], annotations: Sequence[dict[str, Any]]) -> None:
        self._images.add(image)
        for row in annotations:
            self._annotations.add(row)
        self.counts["pairs"] += 1
        self.counts["positives" if annotations else "negatives"] += 1
        self.counts["instances"] += len(annotations)
        self.counts["not_exhaustive"] += not image["is_instance_exhaustive"]

    def close(self) -> None:
        with self.path.open("w", encoding="utf-8") as file:
            file.write('{"annotations":[')
            self._annotations.pour(file)
            file.write(f'],"categories":{canonical(CATEGORIES).decode()},"images":[')
            self._images.pour(file)
            file.write("]}")


class _Rows:
    """A JSON list without its brackets, in a file."""

    def __init__(self, path: Path) -> None:
        self._path, self._file, self._any = path, path.open("w", encoding="utf-8"), False

    def add(self, row: dict[str, Any]) -> None:
        self._file.write(f"{',' if self._any else ''}{canonical(row).decode()}")
        self._any = True

    def pour(self, target: TextIO) -> None:
        self._file.close()
        with self._path.open(encoding="utf-8") as file:
            shutil.copyfileobj(file, target)
        self._path.unlink()


def _annotation_rows(first: int, pair_id: int, pair: SettledPair) -> Iterator[dict[str, Any]]:
    """`prompts`, `origin` and `edited` are of this project, as `round` is: other readers pass over them, and the hash
    does not see them."""
    drawn = zip(pair.masks, pair.prompts, pair.origins, strict=True)
    for number, (mask, prompts, origin) in enumerate(drawn, start=first):
        yield annotation_row(number, pair_id, mask) | origin | ({"prompts": prompts} if prompts else {})


def _image_row(pair_id: int, pair: SettledPair) -> dict[str, Any]:
    """`queried_category`, `source`, `truth`, `round` and `scene` are of this project, not of the snapshot's hash."""
    return {
        "id": pair_id,
        "file_name": pair.sha256,
        "text_input": pair.phrase,
        "width": pair.width,
        "height": pair.height,
        "queried_category": str(pair.category_id),
        "is_instance_exhaustive": int(pair.is_exhaustive),
        "is_pixel_exhaustive": int(pair.is_exhaustive),
        "source": pair.source,
        "truth": pair.truth_source,
        "round": pair.round,
        "scene": pair.scene or pair.sha256,
    }
