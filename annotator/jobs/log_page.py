"""The log lines of a job: its worker's, and what its feature has beside that."""

from pathlib import Path

from django.conf import settings

from annotator.models import Job

from .kinds import KINDS

TAIL_BYTES = 64 * 1024


def job_log_parts(*, job: Job) -> list[tuple[str, str]]:
    """(whose, the newest lines) of every log that there is."""
    files = [("Worker", job_log_path(job)), *KINDS[job.kind].logs(job)]
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


def job_log_path(job: Job) -> Path:
    return settings.VAR_DIR / "logs" / "jobs" / f"{job.pk}.log"
