"""Snapshots as the data page shows them."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from annotator.common.errors import RoostError
from annotator.models import Image, Project, Snapshot

SNAPSHOT_FILES = ("manifest.json", *(f"{split}.json" for split in Image.Split.values), "pairs.jsonl")
NUMBERS = ("pairs", "positives", "negatives", "instances", "not_exhaustive")


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
    """Its project's own: equal content may come from elsewhere there. The oldest snapshots lie beside the projects."""
    own = own_folder(snapshot.project, snapshot.content_hash)
    older = settings.SNAPSHOTS_DIR / snapshot.content_hash
    return older if older.is_dir() and not own.is_dir() else own


def snapshot_numbered(*, project: Project, number: int) -> Snapshot:
    """RoostError with 404 when the project has none of that number."""
    snapshot = project.snapshots.select_related("project", "created_by").filter(number=number).first()
    if snapshot is None:
        raise RoostError(f"This project has no snapshot {number}.", code="unknown_snapshot", http_status=404)
    return snapshot


def own_folder(project: Project, content_hash: str) -> Path:
    return settings.SNAPSHOTS_DIR / project.slug / content_hash
