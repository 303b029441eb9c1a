"""A snapshot's pairs, read in order: from pairs.jsonl, or out of the documents of snapshots older than that file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotator.common.errors import RoostError
from annotator.common.masks import Rle
from annotator.models import Image

from .formats.records import PSEUDO
from .snapshot_documents import PAIRS_FILE, canonical, pair_line

Line = dict[str, Any]


def lines_of(folder: Path) -> Iterator[Line]:
    """In the order of image hash and phrase; RoostError when the snapshot's files are gone."""
    return map(json.loads, written_lines_of(folder))


def judging_pairs(folder: Path) -> set[tuple[str, str]]:
    """(image hash, phrase) of each pair of the holdout that may judge a model."""
    lines = (line for line in lines_of(folder) if line["split"] == Image.Split.HOLDOUT and line["is_exhaustive"])
    return {(line["file_name"], line["text_input"]) for line in lines}


def written_lines_of(folder: Path) -> Iterator[bytes]:
    """The same as they are written: equal pairs have equal bytes."""
    if not folder.is_dir():
        raise RoostError(
            f"The files of this snapshot are gone from {folder}; bring them back from a backup.",
            code="snapshot_gone",
            http_status=404,
        )
    listed = folder / PAIRS_FILE
    return _listed(listed) if listed.is_file() else map(canonical, _from_documents(folder))


def _listed(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n")


def _from_documents(folder: Path) -> list[Line]:
    """An older snapshot has its pairs in the order of its documents: they are sorted here, in memory."""
    lines = [line for split in Image.Split.values for line in _of_document(folder / f"{split}.json", split)]
    return sorted(lines, key=lambda line: (line["file_name"], line["text_input"]))


def _of_document(path: Path, split: str) -> Iterator[Line]:
    document = json.loads(path.read_bytes())
    masks: dict[int, list[Rle]] = {row["id"]: [] for row in document["images"]}
    for row in document["annotations"]:
        masks[row["image_id"]].append(row["segmentation"])
    for row in document["images"]:
        yield pair_line(
            sha256=row["file_name"],
            phrase=row["text_input"],
            split=split,
            size_px=(row["width"], row["height"]),
            masks=masks[row["id"]],
            is_exhaustive=bool(row["is_instance_exhaustive"]),
            is_pseudo=row.get("truth") == PSEUDO,
        )
