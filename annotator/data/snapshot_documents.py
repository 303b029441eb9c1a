"""A snapshot's files, written pair by pair: a SA-Co document a split, and the list of pairs that its hash is taken of.

`pairs.jsonl` holds what makes one data version equal to another and nothing else: no row ids, no names of projects or
sources. A snapshot's hash is the SHA-256 of that file, so `sha256sum pairs.jsonl` proves it. The lines lie in the order
of image hash and phrase, which is what lets two versions be compared by reading both once.
"""

import hashlib
import json
import shutil
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from annotator.common.instances import click_prompts
from annotator.common.masks import Rle
from annotator.models import Image, Pair

from .formats.records import PSEUDO
from .writers.saco import annotation_row

CATEGORIES = [{"id": 1, "name": "object"}]
PAIRS_FILE = "pairs.jsonl"
DOCUMENTS = tuple(f"{split}.json" for split in Image.Split.values)
COUNTED = ("pairs", "positives", "negatives", "instances", "not_exhaustive", "without_masks", "pseudo")


@dataclass(frozen=True)
class Answer:
    """Which answer is a pair's truth; ids of this installation. `reviewer` None: let through by the policy."""

    annotation: int
    revision: int
    author: int
    reviewer: int | None

    def plain(self) -> dict[str, int | None]:
        return asdict(self)


@dataclass(frozen=True)
class SettledPair:
    """What of a settled pair goes into a snapshot; `masks` in one order whatever order they were drawn in.

    `prompts` belong to the masks, one list each: what a person showed the model to have it drawn. So do `made`: how
    each mask came about. `id` and `answer` are of this database, and None where the pair is of no database.
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
    is_exhaustive: bool
    source: str
    truth_source: str
    round: int
    scene: str = ""
    id: int | None = None
    answer: Answer | None = None
    made: tuple[dict[str, Any], ...] = ()

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
        is_exhaustive=row["is_exhaustive"] and len(settled) == len(drawn),
        source=row["image__source"],
        truth_source=row["truth_source"],
        round=row["round"],
        scene=row["image__scene"],
        id=row.get("id"),
        answer=_answer(row),
        made=tuple(_made(instance) for instance in settled),
    )


def _answer(row: dict[str, Any]) -> Answer | None:
    """After a fix the truth is the reviewer's revision, and its author who answered first."""
    if row.get("settled_by") is None:
        return None
    fixed = row["settled_by__fixing__annotation__author"]
    reviewer = row["settled_by__author"] if fixed else row["settled_by__review__reviewer"]
    author = fixed or row["settled_by__author"]
    return Answer(row["settled_by"], row["settled_by__revision"], author, reviewer)


def _made(instance: dict[str, Any]) -> dict[str, Any]:
    """How a mask came about, as far as it is known: an imported one has an origin alone."""
    return {name: instance[name] for name in MADE if instance.get(name) is not None}


# What an annotation row tells of its mask.
MADE = ("origin", "model_version", "edited")
ANSWER_COLUMNS = (
    *("id", "settled_by", "settled_by__revision", "settled_by__author", "settled_by__review__reviewer"),
    "settled_by__fixing__annotation__author",
)
COLUMNS = (
    *ANSWER_COLUMNS,
    *("image__sha256", "image__width", "image__height", "image__split", "image__source", "concept__name"),
    *("concept__category_id", "truth", "truth_source", "instances", "is_exhaustive", "round", "image__scene"),
)


def _instance_order(instance: dict[str, Any]) -> tuple[list[int], str, bytes]:
    return (*_mask_order(instance["mask"]), canonical([click_prompts(instance), _made(instance)]))


def _mask_order(mask: Rle) -> tuple[list[int], str]:
    return list(mask["size"]), str(mask["counts"])


def pair_line(
    *,
    sha256: str,
    phrase: str,
    split: str,
    size_px: tuple[int, int],
    masks: Sequence[Rle],
    is_exhaustive: bool,
    is_pseudo: bool = False,
) -> dict[str, Any]:
    """One line of pairs.jsonl; size_px is (width, height). Of the masks it holds a hash.

    `pseudo` stands there alone where no person settled the pair, so that all other content keeps its hash.
    """
    return ({"pseudo": 1} if is_pseudo else {}) | {
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
    """`counts` = {split: {pairs, positives, …}}; `files` = {name: SHA-256}; `answers`: of the pairs with an id."""

    content_hash: str
    counts: dict[str, dict[str, int]]
    files: dict[str, str]
    answers: "Answers"


class Answers:
    """(pair, answer or None, split, masks) of each pair that was written, packed: half a million are 14 MB."""

    def __init__(self) -> None:
        self._ids, self._masks, self._splits = array("q"), array("I"), array("B")

    def add(self, pair: SettledPair) -> None:
        if pair.id is not None:
            self._ids.extend((pair.id, pair.answer.annotation if pair.answer else 0))
            self._masks.append(len(pair.masks))
            self._splits.append(Image.Split.values.index(pair.split))

    def __iter__(self) -> Iterator[tuple[int, int | None, str, int]]:
        for at, (masks, split) in enumerate(zip(self._masks, self._splits, strict=True)):
            yield self._ids[2 * at], self._ids[2 * at + 1] or None, Image.Split.values[split], masks


def documents_write(*, folder: Path, pairs: Iterable[SettledPair]) -> Written:
    """All documents and pairs.jsonl, into an empty folder; `pairs` come by image hash. Few of them are held at once."""
    documents = {split: _Document(folder, split) for split in Image.Split.values}
    pair_id = annotation_id = 0
    answers = Answers()
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
            answers.add(pair)
    for document in documents.values():
        document.close()
    files = {name: file_sha256(folder / name) for name in (*DOCUMENTS, PAIRS_FILE)}
    return Written(files[PAIRS_FILE], {split: one.counts for split, one in documents.items()}, files, answers)


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
        is_pseudo=pair.truth_source == PSEUDO,
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
        if image["truth"] == PSEUDO:  # counted apart: what people settled is what makes a snapshot fit to train on
            self.counts["pseudo"] += 1
            return
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
    """`prompts` and how it was made are of this project, as `round` is: other readers pass over them, and the hash
    does not see them."""
    made = pair.made or ({},) * len(pair.masks)
    for number, (mask, prompts, how) in enumerate(zip(pair.masks, pair.prompts, made, strict=True), start=first):
        row = annotation_row(number, pair_id, mask) | how
        yield row | {"prompts": prompts} if prompts else row


def _image_row(pair_id: int, pair: SettledPair) -> dict[str, Any]:
    """`queried_category`, `source`, `truth`, `round`, `scene` and `answer` are of this project, not of the hash."""
    answer = {"answer": pair.answer.plain()} if pair.answer else {}
    return answer | {
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
