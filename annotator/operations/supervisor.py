"""Keeps a handful of processes running: starts them, says when each is healthy, restarts those that died, stops them
all."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from toolbox.processes import child_command

LOOK_EVERY_SECONDS = 0.2
STOP_SECONDS = 20.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
# A process that ran this long starts with a clean record: earlier crashes no longer delay its restart.
STEADY_SECONDS = 60.0
LOG_BYTES = 20 * 1024 * 1024
Say = Callable[[str], None]


@dataclass(frozen=True)
class Service:
    """One process to keep alive. `is_healthy(pid)` is asked until it says yes once, after every start."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    is_healthy: Callable[[int], bool]
    about: str = ""
    nice: int = 0


@dataclass
class _Running:
    service: Service
    process: subprocess.Popen | None = None
    started_at: float = 0.0
    healthy: bool = False
    pause_seconds: float = FIRST_PAUSE_SECONDS
    start_again_at: float = field(default=0.0)


class Supervisor:
    """Run services until `stop` is called; each one's output goes to `logs/<name>.log`."""

    def __init__(self, services: Sequence[Service], *, logs: Path, folder: Path, say: Say) -> None:
        self.say, self._logs, self._folder = say, logs, folder
        self._all = [_Running(service) for service in services]
        self._stopping = False

    def run(self, when_healthy: Callable[[], None] = lambda: None) -> None:
        """Block until stopped; calls `when_healthy` once, when every service has been healthy."""
        self._logs.mkdir(parents=True, exist_ok=True)
        announced = False
        try:
            while not self._stopping:
                for running in self._all:
                    self._look_after(running)
                if not announced and all(running.healthy for running in self._all):
                    announced = True
                    when_healthy()
                time.sleep(LOOK_EVERY_SECONDS)
        finally:
            self._stop_all()

    def stop(self) -> None:
        """Ask `run` to end; asked a second time, everything is killed at once."""
        if self._stopping:
            for running in self._all:
                _kill(running.process)
        self._stopping = True

    def _look_after(self, running: _Running) -> None:
        if running.process is None:
            if time.monotonic() >= running.start_again_at:
                self._start(running)
        elif (status := running.process.poll()) is not None:
            self._died(running, status)
        elif not running.healthy and running.service.is_healthy(running.process.pid):
            running.healthy = True
            seconds = time.monotonic() - running.started_at
            self.say(f"  ✓ {running.service.name:<10} {running.service.about} ({seconds:.1f} s)")

    def _start(self, running: _Running) -> None:
        service = running.service
        with _log(self._logs / f"{service.name}.log") as log:
            running.process = subprocess.Popen(
                child_command(service.command, nice=service.nice),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=service.environment,
                cwd=self._folder,
                start_new_session=True,
            )
        running.started_at, running.healthy = time.monotonic(), False

    def _died(self, running: _Running, status: int) -> None:
        _kill(running.process)
        if time.monotonic() - running.started_at > STEADY_SECONDS:
            running.pause_seconds = FIRST_PAUSE_SECONDS
        name, pause = running.service.name, running.pause_seconds
        self.say(f"  ✗ {name} ended with status {status}; again in {pause:.0f} s. See {self._logs / name}.log")
        running.process, running.healthy = None, False
        running.start_again_at = time.monotonic() + pause
        running.pause_seconds = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _stop_all(self) -> None:
        """SIGTERM to all at once, so that each ends its work; after a while SIGKILL to what is left of its session."""
        alive = {running.service.name: running.process for running in self._all if running.process is not None}
        for process in alive.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for name, process in alive.items():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(deadline - time.monotonic(), 0.1))
            _kill(process)
            self.say(f"  stopped {name}")


def _kill(process: subprocess.Popen | None) -> None:
    """True when no process of its session is left."""
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _log(path: Path) -> BinaryIO:
    """Append; a log that has grown large is set aside once."""
    if path.exists() and path.stat().st_size > LOG_BYTES:
        os.replace(path, path.with_suffix(".log.1"))
    return path.open("ab")
