"""Snapshots as the data page shows them."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from annotator.models import Image, Project, Snapshot

SNAPSHOT_FILES = ("manifest.json", *(f"{split}.json" for split in Image.Split.values))
NUMBERS = ("pairs", "positives", "negatives", "instances")


@dataclass(frozen=True)
class SnapshotRow:
    """A snapshot with its counts as a table: one row a split that has pairs."""

    snapshot: Snapshot
    splits: list[tuple[str, list[int]]]
    runs: list[int]


def snapshots_of(*, project: Project) -> list[SnapshotRow]:
    found = project.snapshots.select_related("created_by").prefetch_related("training_runs")[:50]
    return [SnapshotRow(one, _splits(one), sorted(run.number for run in one.training_runs.all())) for one in found]


def _splits(snapshot: Snapshot) -> list[tuple[str, list[int]]]:
    rows = ((str(words), snapshot.counts.get(split, {})) for split, words in Image.Split.choices)
    return [(words, [counts.get(name, 0) for name in NUMBERS]) for words, counts in rows if counts.get("pairs")]


def snapshot_file(*, snapshot: Snapshot, name: str) -> Path:
    """`name` out of SNAPSHOT_FILES; whether it is there, the caller looks."""
    return snapshot_folder(snapshot) / name


def snapshot_folder(snapshot: Snapshot) -> Path:
    return settings.SNAPSHOTS_DIR / snapshot.content_hash
