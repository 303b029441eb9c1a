"""The log lines of a job: its worker's, and for a retrain the trainer's."""

from pathlib import Path

from annotator.models import Job
from annotator.registry.training_runs import run_folder

from .log import job_log_path

TAIL_BYTES = 64 * 1024


def job_log_parts(*, job: Job) -> list[tuple[str, str]]:
    """(whose, the newest lines) of every log that there is."""
    files = [("Worker", job_log_path(job))]
    if run := getattr(job, "training_run", None):
        folder = run_folder(run)
        files += [("Trainer", folder / "log.txt"), ("Trainer, judging", folder / "gate" / "log.txt")]
    return [(whose, text) for whose, path in files if (text := _tail(path))]


def _tail(path: Path) -> str:
    """The last 64 KiB, from a line's beginning; nothing where there is no file."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        text = file.read().decode(errors="replace")
    return text if size <= TAIL_BYTES else "… earlier lines are in the file\n" + text.partition("\n")[2]
