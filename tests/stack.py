"""The whole product for a test: real processes on ports and in a folder of their own, gone afterwards."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes import ROOT

READY_SECONDS = 180
STOP_SECONDS = 40
# Enough scenes to mine, train and judge with, in a few seconds.
SMALL_DEMO = ("--easy", "12", "--hard", "24", "--approved", "30", "--holdout", "12")


@dataclass
class Stack:
    """A running Roost. `logins` = {user name: password} of the demo project's people."""

    url: str
    backend_url: str
    var: Path
    environment: dict[str, str]
    up: subprocess.Popen
    logins: dict[str, str] = field(default_factory=dict)

    def manage(self, *arguments: str) -> str:
        """Run a command of `manage.py` against this Roost; its output, AssertionError with its errors if it failed."""
        return _manage(self.environment, *arguments)

    def rows(self, sql: str, *parameters: object) -> list[dict]:
        """Read the database as it is on disk: `rows("select * from annotator_task where id = ?", 7)`."""
        with sqlite3.connect(f"file:{self.var / 'roost.sqlite3'}?mode=ro", uri=True, timeout=20) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, parameters)]

    def truth(self) -> dict:
        """What the drawing knows of the unlabelled scenes: {sha256: {"domain", "instances": {concept: [RLE]}}}."""
        return json.loads((self.var / "demo_truth.json").read_text())

    def log(self, name: str) -> str:
        """What a process wrote: web, mlbackend, worker, training, or up itself."""
        path = self.var / "up.log" if name == "up" else self.var / "logs" / f"{name}.log"
        return path.read_text(errors="replace")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stack_environment(var: Path, **more: str) -> dict[str, str]:
    """Ports and folder of its own; whatever the machine sets for a Roost does not count."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOST_")}
    environment["DJANGO_SETTINGS_MODULE"] = "annotator.settings"
    ports = {"ROOST_PORT": str(free_port()), "ROOST_MLBACKEND_PORT": str(free_port())}
    return {**environment, "ROOST_VAR": str(var), **ports, **more}


@contextmanager
def running_stack(var: Path, *, demo: Sequence[str] | None = SMALL_DEMO, **environment: str) -> Iterator[Stack]:
    """Set up, start `manage.py up`, wait until all of it is healthy; stop it with everything it started.

    `demo`: options of `manage.py demo`, None for no demo project; more ROOST_ variables as keywords.
    """
    settings = stack_environment(var, **environment)
    _manage(settings, "migrate", "--verbosity", "0")
    _manage(settings, "collectstatic", "--noinput", "--verbosity", "0")
    if demo is not None:
        _manage(settings, "demo", *demo)
    with (var / "up.log").open("wb") as log:
        up = subprocess.Popen([sys.executable, "manage.py", "up"], cwd=ROOT, env=settings, stdout=log, stderr=log)
    urls = [f"http://127.0.0.1:{settings[name]}" for name in ("ROOST_PORT", "ROOST_MLBACKEND_PORT")]
    stack = Stack(*urls, var, settings, up, _logins(var))
    try:
        _wait_until_ready(stack)
        yield stack
    finally:
        _stop(up)


def _logins(var: Path) -> dict[str, str]:
    path = var / "demo_logins.txt"
    return dict(line.split() for line in path.read_text().splitlines()) if path.exists() else {}


def _manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"manage.py {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _wait_until_ready(stack: Stack) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while "Roost is ready" not in stack.log("up"):
        assert stack.up.poll() is None, stack.log("up")
        assert time.monotonic() < deadline, f"not ready within {READY_SECONDS} s:\n{stack.log('up')}"
        time.sleep(0.1)


def _stop(up: subprocess.Popen) -> None:
    up.send_signal(signal.SIGTERM)
    try:
        up.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        up.kill()
        up.wait()
        raise
