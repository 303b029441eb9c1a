"""Where evaluations and decisions leave their files, and what a page reads of them: rows, measures, no predictions.

Paths on rows are below the runs' folder, so that a project moves to another disk without its rows being changed.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from annotator.models import Evaluation, GateDecision, Job

ROWS, MEASURES = "rows.json", "measures.json"


def evaluation_folder(job: Job) -> Path:
    return settings.RUNS_DIR / "evaluations" / job.project.slug / str(job.pk)


def gate_folder(job: Job) -> Path:
    """Of a gate without a run; a run's own lie in the run's folder."""
    return settings.RUNS_DIR / "gates" / job.project.slug / str(job.pk)


def kept_as(folder: Path) -> str:
    """What a row keeps of it; empty where nothing was left there."""
    return str(folder.relative_to(settings.RUNS_DIR)) if folder.is_dir() else ""


def rows_of(judged: Evaluation | GateDecision) -> list[dict[str, Any]] | None:
    """One a judged pair; None where the files are not here, or are damaged."""
    found = _read(judged, ROWS, _parsed_rows)
    return found if isinstance(found, list) else None


def measures_of(evaluation: Evaluation) -> dict[str, Any] | None:
    """Figures with how many they rest on and their intervals; None where there are none."""
    found = _read(evaluation, MEASURES, _parsed)
    return found if isinstance(found, dict) and "figures" in found else None


def _read(judged: Evaluation | GateDecision, name: str, parsed: Callable[[Path, int], Any]) -> Any:
    if not judged.folder:
        return None
    path = settings.RUNS_DIR / judged.folder / name
    try:
        return parsed(path, path.stat().st_mtime_ns)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=16)
def _parsed(path: Path, _changed_ns: int) -> Any:
    """Nobody changes what comes from here: pages ask for the same few again and again."""
    return json.loads(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=2)
def _parsed_rows(path: Path, _changed_ns: int) -> Any:
    """Two at most: 100,000 rows take 120 MB in memory."""
    return json.loads(path.read_bytes())
