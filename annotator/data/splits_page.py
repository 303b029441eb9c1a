"""What the page and the command of the splits show."""

from dataclasses import asdict
from typing import Any

from annotator.models import Project

from .split_moves import Crossing, crossings_of, scenes_crossing
from .split_shares import scene_counts, split_shares

PAGE = 12
IMAGES_SHOWN = 8


def crossings_page(*, project: Project, after: str = "") -> tuple[list[Crossing], str | None]:
    """Some scenes that cross, in the order of their names; and the name to go on from."""
    found = scenes_crossing(project=project)
    names = [row["scene"] for row in found.filter(scene__gt=after)[: PAGE + 1]]
    return crossings_of(project=project, scenes=names[:PAGE]), names[PAGE - 1] if len(names) > PAGE else None


def splits_report(*, project: Project) -> dict[str, Any]:
    """How the splits lie, as plain data."""
    rows = split_shares(project=project)
    return {
        "scenes": asdict(scene_counts(project=project)),
        "crossing": scenes_crossing(project=project).count(),
        "shares": [
            {"name": row.name, "kind": row.kind, "counts": {split: n for split, _, n, _ in row.shares}} for row in rows
        ],
    }
