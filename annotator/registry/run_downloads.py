"""What a run leaves behind and an admin may take away: configuration, checkpoint, logs."""

from dataclasses import dataclass
from pathlib import Path

from annotator.models import TrainingRun

from .run_files import run_folder

# The name in the address and of the download: where it lies in the run's folder, and what it is.
FILES = {
    "config.yaml": ("config.yaml", "the configuration, every key with the value that counted"),
    "model.safetensors": ("model/model.safetensors", "the best checkpoint's weights"),
    "model-config.json": ("model/config.json", "their network"),
    "manifest.json": ("manifest.json", "what came out: hashes, metrics, pairs"),
    "events.jsonl": ("events.jsonl", "all that the trainer told, one event a line"),
    "log.txt": ("log.txt", "the trainer's log"),
    "gate-log.txt": ("gate/log.txt", "its log while judging"),
}


@dataclass(frozen=True)
class RunFile:
    name: str
    words: str
    size_bytes: int


def run_files(run: TrainingRun) -> list[RunFile]:
    """Those that lie there now; a run that was never begun on this machine has none."""
    found = ((name, words, run_file(run, name)) for name, (_, words) in FILES.items())
    return [RunFile(name, words, path.stat().st_size) for name, words, path in found if path is not None]


def run_file(run: TrainingRun, name: str) -> Path | None:
    """Only names of the table are files; None for others and for what does not lie there."""
    if name not in FILES:
        return None
    path = run_folder(run) / FILES[name][0]
    return path if path.is_file() else None
