"""What the model was trained and judged on: the snapshot's pairs by split, concept, truth and size of object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.dataset import SPLITS
from training.reporting.charts import MOST_GROUPS, Chart
from training.reporting.source import Row, read_json

# COCO's sizes, in pixels of the image as it is.
SMALL_PX, LARGE_PX = 32**2, 96**2
TRUTHS = {
    "annotated": "people, here",
    "imported": "came with the images",
    "drawn": "known from the drawing",
    "": "not told",
}


@dataclass
class Counts:
    """Pairs of one split."""

    positives: int = 0
    negatives: int = 0
    not_exhaustive: int = 0
    instances: int = 0
    images: set[str] = field(default_factory=set)
    concepts: dict[str, Counter[str]] = field(default_factory=dict)
    truths: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)


def count_snapshot(folder: Path) -> dict[str, Counts]:
    """By split; a split without a document is left out, and a snapshot without any is refused by the reader."""
    there = [name for name in SPLITS if (folder / f"{name}.json").is_file()] or [SPLITS[0]]
    return {name: _count(read_json(folder / f"{name}.json", dict)) for name in there}


def _count(document: Row) -> Counts:
    counts = Counts()
    held: Counter[int] = Counter(row["image_id"] for row in document["annotations"])
    pixels = {row["id"]: row["width"] * row["height"] for row in document["images"]}
    for row in document["images"]:
        is_positive = held[row["id"]] > 0
        kind = "positives" if is_positive else "negatives"
        is_whole = bool(row.get("is_instance_exhaustive", 1))
        if is_positive or is_whole:
            setattr(counts, kind, getattr(counts, kind) + 1)
            counts.concepts.setdefault(row["text_input"], Counter())[kind] += 1
        counts.not_exhaustive += not is_whole
        counts.images.add(row["file_name"])
        counts.truths[row.get("truth") or ""] += 1
    for row in document["annotations"]:
        counts.sizes[_size(row.get("area", 0.0) * pixels.get(row["image_id"], 0))] += 1
    counts.instances = len(document["annotations"])
    return counts


def _size(area_px: float) -> str:
    if area_px < SMALL_PX:
        return "small"
    return "medium" if area_px < LARGE_PX else "large"


def data_plain(counts: Mapping[str, Counts]) -> list[dict[str, Any]]:
    return [
        {
            "split": name,
            "images": len(one.images),
            "pairs": one.positives + one.negatives,
            "positives": one.positives,
            "negatives": one.negatives,
            "instances": one.instances,
            "not_exhaustive": one.not_exhaustive,
        }
        for name, one in counts.items()
    ]


def data_charts(counts: Mapping[str, Counts]) -> list[Chart]:
    return [_by_split(counts), _by_concept(counts), _by_truth(counts), _by_size(counts)]


def _by_split(counts: Mapping[str, Counts]) -> Chart:
    rows = data_plain(counts)
    heads = ["Split", "Images", "Pairs", "With the thing", "Without", "Objects", "Not all outlined"]
    chart = _bars(
        "data_splits", "Pairs by split", "What trains, what chooses the checkpoint, and what judges.", "pairs"
    )
    chart |= _two_kinds([row["split"] for row in rows], [(row["positives"], row["negatives"]) for row in rows])
    return chart | {"columns": heads, "rows": [list(row.values()) for row in rows]}


def _by_concept(counts: Mapping[str, Counts]) -> Chart:
    every: dict[str, Counter[str]] = {}
    for one in counts.values():
        for name, kinds in one.concepts.items():
            every.setdefault(name, Counter()).update(kinds)
    largest = sorted(every, key=lambda name: (-every[name].total(), name))[:MOST_GROUPS]
    pairs = [(every[name]["positives"], every[name]["negatives"]) for name in largest]
    more = f" The {MOST_GROUPS} largest of {len(every)}." if len(every) > MOST_GROUPS else ""
    words = f"All splits together. A concept without negatives teaches no restraint.{more}"
    chart = _bars("data_concepts", "Pairs by concept", words, "pairs") | _two_kinds(largest, pairs)
    rows = [[name, *two] for name, two in zip(largest, pairs, strict=True)]
    return chart | {"columns": ["Concept", "With the thing", "Without"], "rows": rows}


def _by_truth(counts: Mapping[str, Counts]) -> Chart:
    known = [key for key in TRUTHS if any(one.truths[key] for one in counts.values())]
    words = "Where the pairs' truth comes from."
    chart = _bars("data_truths", "Pairs by truth", words, "pairs") | _stacked(counts, known, "truths")
    rows = [[TRUTHS[key], *(one.truths[key] for one in counts.values())] for key in known]
    chart["labels"] = [TRUTHS[key] for key in known]
    return chart | {"columns": ["Truth", *(name.capitalize() for name in counts)], "rows": rows}


def _by_size(counts: Mapping[str, Counts]) -> Chart:
    sizes = ["small", "medium", "large"]
    words = "Small: below 32 x 32 pixels of the image; large: above 96 x 96."
    chart = _bars("data_sizes", "Objects by size", words, "objects") | _stacked(counts, sizes, "sizes")
    rows = [[size, *(one.sizes[size] for one in counts.values())] for size in sizes]
    return chart | {"columns": ["Size", *(name.capitalize() for name in counts)], "rows": rows}


def _bars(name: str, title: str, words: str, y: str) -> Chart:
    return {"name": name, "title": title, "words": words, "kind": "bars", "x": "", "y": y}


def _two_kinds(labels: list[str], pairs: list[tuple[int, int]]) -> Chart:
    names = (("with the thing", 1), ("without it", 2))
    series = [
        {"name": name, "colour": colour, "y": [two[place] for two in pairs]}
        for place, (name, colour) in enumerate(names)
    ]
    return {"labels": labels, "series": series}


def _stacked(counts: Mapping[str, Counts], keys: list[str], of: str) -> Chart:
    series = [
        {"name": name, "colour": 1 + place % 4, "y": [getattr(one, of)[key] for key in keys]}
        for place, (name, one) in enumerate(counts.items())
    ]
    return {"labels": list(keys), "series": series}
