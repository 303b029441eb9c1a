"""Where a report's files lie: beside each model that a gate judged, GATE/ROLE/report/ (docs/contracts.md)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotator.models import TrainingRun
from toolbox.events import Event

from .run_files import run_folder

ROLES = {"challenger": "the challenger", "champion": "what served then"}
WHOLE = {"report.html": "the page as one file, for mail and print", "report.json": "all of it, for programs"}
KINDS = {".png": "image/png", ".svg": "image/svg+xml", ".html": "text/html", ".json": "application/json"}


@dataclass(frozen=True)
class ReportFile:
    name: str
    words: str
    size_bytes: int


def newest_gate_folder(run: TrainingRun) -> Path | None:
    """Of the newest gate that came to a decision: `gate`, or `gate-<job>` where it was asked again."""
    folder = run_folder(run)
    again = [path for path in folder.glob("gate-*") if path.name[5:].isdigit() and (path / "manifest.json").is_file()]
    first = folder / "gate"
    newest = max(again, key=lambda path: int(path.name[5:]), default=first)
    return newest if (newest / "manifest.json").is_file() else None


def report_folder(run: TrainingRun, role: str) -> Path | None:
    gate = newest_gate_folder(run)
    return None if gate is None or role not in ROLES else gate / role / "report"


def any_report(run: TrainingRun) -> bool:
    """Whether one was made, or tried: its page then says why there is none."""
    folders = [report_folder(run, role) for role in ROLES]
    return any(folder is not None and folder.is_dir() for folder in folders)


def report_read(folder: Path | None) -> dict[str, Any] | None:
    """None where none was made, or another version's is there that this page can't show."""
    if folder is None:
        return None
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) and report.get("version") == 1 else None


def report_refusal(folder: Path | None) -> str:
    """Why none was made, in the trainer's own sentence; empty where nobody tried."""
    if folder is None:
        return ""
    try:
        lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        last = json.loads(lines[-1])
    except (OSError, ValueError, IndexError):
        return ""
    return str(last.get("message") or "") if last.get("event") == Event.ERROR else ""


def report_files(folder: Path | None, report: dict[str, Any] | None) -> list[ReportFile]:
    """The page and the JSON, then each plot for print and for drawing programs."""
    if folder is None or report is None:
        return []
    named = dict(WHOLE)
    for chart in report["charts"]:
        named |= {f"{chart['name']}.png": f"{chart['title']}, 300 DPI", f"{chart['name']}.svg": chart["title"]}
    found = ((name, words, report_file(folder, name, report)) for name, words in named.items())
    return [ReportFile(name, words, path.stat().st_size) for name, words, path in found if path is not None]


def report_file(folder: Path, name: str, report: dict[str, Any]) -> Path | None:
    """Only the report's own files; None for other names and for what does not lie there."""
    plots = {f"{chart['name']}{ending}" for chart in report["charts"] for ending in (".png", ".svg")}
    if name not in WHOLE and name not in plots:
        return None
    path = folder / name if name in WHOLE else folder / "plots" / name
    return path if path.is_file() else None
