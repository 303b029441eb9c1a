"""How the model was trained, from its run's folder: losses, validations, the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolbox.events import Event
from toolbox.training_settings import SETTABLE
from training.config import read_file
from training.reporting.charts import Chart
from training.reporting.figures import told_points
from training.reporting.source import Row, read_lines

POINTS = 400  # a longer series is thinned: nobody sees more of a line
TABLE_ROWS = 20
LOSSES = (("total", "total", 1), ("mask", "mask", 2), ("presence", "presence", 4))
VALIDATIONS = (("cgf1", "CGF1", 1), ("pmf1", "pmF1", 2), ("il_mcc", "IL_MCC", 4))


@dataclass(frozen=True)
class Trained:
    losses: list[Row]
    validations: list[Row]
    settings: dict[str, Any]
    seconds: float | None


def read_run(folder: Path) -> Trained:
    events = read_lines(folder / "events.jsonl")
    config = read_file(folder / "config.yaml") if (folder / "config.yaml").is_file() else {}
    settings = {name: config[name] for name in SETTABLE if name in config}
    changed = {name: value for name, value in settings.items() if value != SETTABLE[name].default}
    manifest = folder / "manifest.json"
    seconds = read_file(manifest).get("seconds") if manifest.is_file() else None
    return Trained(_series(events, Event.LOSS), _series(events, Event.VALIDATION), changed, seconds)


def _series(events: Sequence[Mapping[str, Any]], kind: str) -> list[Row]:
    """By step: a run that went on repeats the steps since its checkpoint, and the later telling counts."""
    by_step: dict[int, Row] = {}
    for event in events:
        if event.get("event") == kind:
            by_step = {step: row for step, row in by_step.items() if step < event["step"]}
            by_step[event["step"]] = {key: value for key, value in event.items() if key not in ("event", "at")}
    return _thinned(list(by_step.values()), POINTS)


def _thinned(rows: list[Row], most: int) -> list[Row]:
    step = -(-len(rows) // most) or 1
    kept = rows[::step]
    return kept if not rows or kept[-1] is rows[-1] else [*kept, rows[-1]]


def training_charts(trained: Trained) -> list[Chart]:
    made = [
        _lines("loss", "Loss", "What training minimises, by step.", "loss", trained.losses, LOSSES, 1.0),
        _lines(
            "validation",
            "Validation",
            "On the split that chooses the checkpoint: its best figure is chosen too, and a little too good.",
            "points of 100",
            trained.validations,
            VALIDATIONS,
            100.0,
        ),
    ]
    return [chart for chart in made if chart]


def _lines(
    name: str,
    title: str,
    words: str,
    y: str,
    rows: list[Row],
    keys: Sequence[tuple[str, str, int]],
    times: float,
) -> Chart | None:
    if not rows:
        return None
    there = [(key, label, colour) for key, label, colour in keys if any(row.get(key) is not None for row in rows)]
    return {
        "name": name,
        "title": title,
        "words": words,
        "kind": "lines",
        "x": "step",
        "y": y,
        "series": [
            {
                "name": label,
                "colour": colour,
                "x": [row["step"] for row in rows if row.get(key) is not None],
                "y": [times * row[key] for row in rows if row.get(key) is not None],
            }
            for key, label, colour in there
        ],
        "columns": ["Step", *(label for _, label, _ in there)],
        "rows": [
            [row["step"], *(_cell(row.get(key), times) for key, _, _ in there)] for row in _thinned(rows, TABLE_ROWS)
        ],
    }


def _cell(value: float | None, times: float) -> str:
    if value is None:
        return "–"
    return told_points(value) if times > 1 else f"{value:.3f}"
