"""The trainer's own verbs as children of a sweep, one at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolbox.processes import child_command
from training.errors import Stopped
from training.launch import StopRequest

POLL_S = 0.1


@dataclass(frozen=True)
class Ended:
    """How a child ended; code and message are those of its `error` event, where it told one."""

    status: int
    code: str = ""
    message: str = ""


class Children:
    """Starts a module's command line and waits for it; a stop is passed on, and raised once the child has ended.

    lock: of the sweep's folder (occupancy.py), which a child inherits: a killed sweep's run has the folder until its
    checkpoint is written.
    """

    def __init__(self, lock: int, stop: StopRequest) -> None:
        self._lock, self._stop = lock, stop

    def verb(self, verb: str, file: Path, out: Path) -> Ended:
        """`python -m training <verb>` on a config; what went wrong is told by its events."""
        told = (out / "events.jsonl").stat().st_size if (out / "events.jsonl").is_file() else 0
        status = self.run(["training", verb, "--config", str(file), "--out", str(out)])
        error = _last_error(out / "events.jsonl", told) if status else {}
        return Ended(status, error.get("code", "failed"), error.get("message", _ending(status)))

    def run(self, command: Sequence[str]) -> int:
        self._stop.check()
        # Its parent is this process, whatever outlives whom above it.
        environment = {name: value for name, value in os.environ.items() if name != "ROOST_OUTLIVE_PARENT"}
        line = child_command(
            [sys.executable, "-m", *command]
        )  # also where this process ends before the child watches it
        child = subprocess.Popen(line, stdout=subprocess.DEVNULL, env=environment, pass_fds=(self._lock,))
        try:
            return self._wait(child)
        except BaseException:
            child.terminate()
            child.wait()
            raise

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        is_told = False
        while (status := child.poll()) is None:
            if self._stop and not is_told:
                child.terminate()
                is_told = True
            time.sleep(POLL_S)
        if self._stop:
            raise Stopped
        return status


def _ending(status: int) -> str:
    """Of one that told nothing; a negative status is the signal that ended it."""
    return f"It ended with status {status}." if status >= 0 else f"It was killed by {signal.Signals(-status).name}."


def _last_error(path: Path, start: int) -> dict[str, Any]:
    """The last `error` event from `start` bytes on: what was told before is of an earlier try."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return {}
    events = [event for line in lines if (event := _parsed(line)).get("event") == "error"]
    return events[-1] if events else {}


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
