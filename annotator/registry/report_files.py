"""Where a report's files lie: beside the evaluation that it tells of, FOLDER/report/ (docs/contracts.md)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from annotator.models import Evaluation
from toolbox.events import Event

WHOLE = {"report.html": "the page as one file, for mail and print", "report.json": "all of it, for programs"}
KINDS = {".png": "image/png", ".svg": "image/svg+xml", ".html": "text/html", ".json": "application/json"}


@dataclass(frozen=True)
class ReportFile:
    name: str
    words: str
    size_bytes: int


def report_folder(evaluation: Evaluation) -> Path | None:
    """None where the evaluation's own files were not kept."""
    return settings.RUNS_DIR / evaluation.folder / "report" if evaluation.folder else None


def report_tried(evaluation: Evaluation) -> bool:
    """Whether one was made, or its making was refused: its page then says why."""
    folder = report_folder(evaluation)
    return folder is not None and folder.is_dir()


def report_read(evaluation: Evaluation) -> dict[str, Any] | None:
    """None where none was made, or another version's is there that this page can't show."""
    folder = report_folder(evaluation)
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8")) if folder else None
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) and report.get("version") == 1 else None


def report_refusal(evaluation: Evaluation) -> str:
    """Why none was made, in the trainer's own sentence; empty where nobody tried."""
    folder = report_folder(evaluation)
    try:
        lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines() if folder else []
        last = json.loads(lines[-1])
    except (OSError, ValueError, IndexError):
        return ""
    return str(last.get("message") or "") if last.get("event") == Event.ERROR else ""


def report_files(evaluation: Evaluation, report: dict[str, Any]) -> list[ReportFile]:
    """The page and the JSON, then each plot for print and for drawing programs."""
    named = dict(WHOLE)
    for chart in report["charts"]:
        named |= {f"{chart['name']}.png": f"{chart['title']}, 300 DPI", f"{chart['name']}.svg": chart["title"]}
    found = ((name, words, report_file(evaluation, name, report)) for name, words in named.items())
    return [ReportFile(name, words, path.stat().st_size) for name, words, path in found if path is not None]


def report_file(evaluation: Evaluation, name: str, report: dict[str, Any]) -> Path | None:
    """Only the report's own files; None for other names and for what does not lie there."""
    folder = report_folder(evaluation)
    plots = {f"{chart['name']}{ending}" for chart in report["charts"] for ending in (".png", ".svg")}
    if folder is None or (name not in WHOLE and name not in plots):
        return None
    path = folder / name if name in WHOLE else folder / "plots" / name
    return path if path.is_file() else None
