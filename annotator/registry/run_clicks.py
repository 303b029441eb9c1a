"""How many clicks an object takes, before a run tuned the click decoder and after, as the run's page shows it."""

from dataclasses import dataclass
from typing import Any

from annotator.models import TrainingRun
from toolbox.events import Event

CLICKS, SHARES = "clicks", "shares"
ROWS = (
    ("clicks_to_85", "Clicks to IoU 0.85", CLICKS),
    ("clicks_to_90", "Clicks to IoU 0.90", CLICKS),
    ("reached_85", "Objects that get to 0.85", SHARES),
    ("reached_90", "Objects that get to 0.90", SHARES),
    ("iou_after_1", "IoU after one click", SHARES),
    ("iou_after_3", "IoU after three clicks", SHARES),
)


@dataclass(frozen=True)
class ClickRow:
    """One figure of both decoders, in words; `better` of the tuned one: True, False, or None where they are equal."""

    name: str
    before: str
    after: str
    better: bool | None


@dataclass(frozen=True)
class ClickReport:
    sentence: str
    rows: list[ClickRow]
    objects: int
    images: int
    learned: dict[str, int]


def run_clicks(run: TrainingRun) -> ClickReport | None:
    """None where the run left the click decoder as it was, or has not counted yet."""
    told = run.series.get(Event.CLICKS)
    if not told:
        return None
    rows = [_row(name, told["base"][key], told["tuned"][key], unit) for key, name, unit in ROWS]
    return ClickReport(told["sentence"], rows, told["objects"], told["images"], told["learned_from"])


def _row(name: str, before: float, after: float, unit: str) -> ClickRow:
    fewer = after < before
    better = None if before == after else fewer if unit == CLICKS else not fewer
    return ClickRow(name, _words(before, unit), _words(after, unit), better)


def _words(value: Any, unit: str) -> str:
    return f"{value:.2f}" if unit == CLICKS else f"{100 * value:.1f} %"
