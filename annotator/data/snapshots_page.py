"""Snapshots as the data page shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from annotator.models import Image, Project, Snapshot

from .snapshot_difference import Change, Difference
from .snapshot_folders import snapshot_folder

SNAPSHOT_FILES = ("manifest.json", *(f"{split}.json" for split in Image.Split.values), "pairs.jsonl")
NUMBERS = ("pairs", "positives", "negatives", "instances", "not_exhaustive")


@dataclass(frozen=True)
class SnapshotRow:
    """A snapshot with its counts as a table: one row a split that has pairs. `older`: the number before its own."""

    snapshot: Snapshot
    splits: list[tuple[str, list[int]]]
    runs: list[int]
    files: list[str]
    older: int | None
    without_masks: int
    pseudo: int


def snapshots_of(*, project: Project) -> list[SnapshotRow]:
    found = project.snapshots.select_related("project", "created_by").prefetch_related("training_runs")[:50]
    return [snapshot_row(one) for one in found]


def snapshot_row(snapshot: Snapshot) -> SnapshotRow:
    folder = snapshot_folder(snapshot)
    return SnapshotRow(
        snapshot,
        _splits(snapshot),
        sorted(run.number for run in snapshot.training_runs.all()),
        [name for name in SNAPSHOT_FILES if (folder / name).is_file()],
        snapshot.number - 1 if snapshot.number > 1 else None,
        *(sum(counts.get(name, 0) for counts in snapshot.counts.values()) for name in ("without_masks", "pseudo")),
    )


def _splits(snapshot: Snapshot) -> list[tuple[str, list[int]]]:
    rows = ((str(words), snapshot.counts.get(split, {})) for split, words in Image.Split.choices)
    return [(words, [counts.get(name, 0) for name in NUMBERS]) for words, counts in rows if counts.get("pairs")]


@dataclass(frozen=True)
class ChangeCard:
    """A pair that changed, with its picture as far as the project still has it."""

    change: Change
    image: Image | None


def change_cards(project: Project, changes: Sequence[Change]) -> list[ChangeCard]:
    wanted = {change.line["file_name"] for change in changes}
    images = {image.sha256: image for image in project.images.filter(sha256__in=wanted)}
    return [ChangeCard(change, images.get(change.line["file_name"])) for change in changes]


def concept_rows(found: Difference) -> list[tuple[str, list[tuple[str, str, int]]]]:
    """Phrase -> (kind, verdict, pairs), in the order of the kinds."""
    return [
        (phrase, [(kind, verdict, row[kind, verdict]) for kind, verdict in sorted(row)])
        for phrase, row in sorted(found.by_concept.items())
    ]


def snapshot_file(*, snapshot: Snapshot, name: str) -> Path:
    """`name` out of SNAPSHOT_FILES; whether it is there, the caller looks."""
    return snapshot_folder(snapshot) / name
