"""What a new model learnt against the one that served: images that it has right now, and those that it lost."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from annotator.models import GateDecision

from .judged_files import ROWS
from .version_compare import SHOWN, Change, change_between, is_right

KEPT = 256  # decisions whose summary stays in memory


@dataclass(frozen=True)
class Learned:
    """Of one decision, on the holdout's `pairs`. `fixed`, `broken`: images of a pair that became right or wrong, at IoU
    0.5; `mended`, `lost`: these pairs, at most sixty of each, of `mended_count` and `lost_count`."""

    pairs: int
    fixed: int
    broken: int
    mended: tuple[Change, ...]
    lost: tuple[Change, ...]
    mended_count: int
    lost_count: int


def learned_of(*, gate: GateDecision) -> Learned | None:
    """None where the decision's rows were not kept, or can't be read."""
    if not gate.folder:
        return None
    path = settings.RUNS_DIR / gate.folder / ROWS
    try:
        return _summed(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError):
        return None


@lru_cache(maxsize=KEPT)
def _summed(path: Path, _changed_ns: int) -> Learned:
    rows = json.loads(path.read_bytes())
    sides = [(_side(row, "champion"), _side(row, "challenger")) for row in rows]
    mended = [change_between(*both) for both in sides if not is_right(both[0]) and is_right(both[1])]
    lost = [change_between(*both) for both in sides if is_right(both[0]) and not is_right(both[1])]
    named = tuple(mended[:SHOWN]), tuple(lost[:SHOWN])
    return Learned(len(rows), _images(mended), _images(lost), *named, len(mended), len(lost))


def _side(row: dict[str, Any], role: str) -> dict[str, Any]:
    return {key: row[key] for key in ("image", "text_input", "instances")} | row[role]


def _images(changes: list[Change]) -> int:
    return len({change.image for change in changes})
