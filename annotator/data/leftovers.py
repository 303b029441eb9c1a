"""What a worker that was killed left half written beside exports and snapshots; nobody finishes it."""

import shutil
import time
from datetime import timedelta
from pathlib import Path

from django.conf import settings

from annotator.jobs.kinds import HOUR_SECONDS, sweep_every

# Whatever is still being written has been touched since.
UNTOUCHED = timedelta(days=1)


@sweep_every(HOUR_SECONDS)
def unfinished_expire() -> int:
    """Remove hidden .tmp entries (toolbox.files.written_whole) that nothing was written to for a day; how many."""
    oldest = time.time() - UNTOUCHED.total_seconds()
    due = [entry for entry in _unfinished() if _touched_at(entry) < oldest]
    for entry in due:
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    return len(due)


def _unfinished() -> list[Path]:
    beside_exports = settings.EXPORTS_DIR.glob(".*.tmp")
    return [*beside_exports, *settings.SNAPSHOTS_DIR.glob("*/.*.tmp")]


def _touched_at(entry: Path) -> float:
    times = [time.time()] if entry.is_symlink() else []
    for path in (entry, *entry.rglob("*")):
        try:
            times.append(path.lstat().st_mtime)
        except FileNotFoundError:  # finished, and renamed, just now
            times.append(time.time())
    return max(times)
