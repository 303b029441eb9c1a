"""A private copy of the product: own ports, own database, own folder; nothing is left behind."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from annotator.child import child_command

REPOSITORY = Path(__file__).resolve().parent.parent.parent
START_LIMIT_S = 180.0
STOP_LIMIT_S = 30.0


class StackError(Exception):
    """The private copy did not start; the text says which part and quotes the end of its log."""


@dataclass(frozen=True)
class Stack:
    """A running Roost: where it answers, where its files are, and how to run its commands."""

    url: str
    var: Path
    environment: dict[str, str]

    def manage(self, *arguments: str) -> str:
        """Run `manage.py` with these arguments against this copy; its standard output, StackError when it fails."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=REPOSITORY, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise StackError(f"manage.py {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout

    def token(self, username: str) -> str:
        return self.manage("token", username, "--name", "demo loop", "--quiet").strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def private_stack(*, demo_arguments: Sequence[str] = ()) -> Iterator[Stack]:
    """Set up the demo project in a temporary folder, start everything, yield it ready, stop it and clean up."""
    with tempfile.TemporaryDirectory(prefix="roost-loop-", ignore_cleanup_errors=True) as folder:
        port, backend_port = free_port(), free_port()
        environment = os.environ | {
            "ROOST_VAR": folder,
            "TMPDIR": folder,  # what a killed command leaves lies in there too
            "ROOST_PORT": str(port),
            "ROOST_MLBACKEND_PORT": str(backend_port),
            "ROOST_MLBACKEND_URL": f"http://127.0.0.1:{backend_port}",
        }
        stack = Stack(f"http://127.0.0.1:{port}", Path(folder), environment)
        stack.manage("migrate", "--verbosity", "0")
        stack.manage("collectstatic", "--noinput", "--verbosity", "0")
        stack.manage("demo", *demo_arguments)
        with _running(stack):
            yield stack


@contextmanager
def _running(stack: Stack) -> Iterator[None]:
    log = stack.var / "up.log"
    with log.open("wb") as sink:
        command = child_command([sys.executable, "manage.py", "up"])
        up = subprocess.Popen(command, cwd=REPOSITORY, env=stack.environment, stdout=sink, stderr=sink)
    try:
        _wait_until_ready(stack, up, log)
        yield
    finally:
        _stop(up)


def _wait_until_ready(stack: Stack, up: subprocess.Popen, log: Path) -> None:
    backend = stack.environment["ROOST_MLBACKEND_URL"]
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and up.poll() is None:
        if _answers(f"{stack.url}/healthz") and _answers(f"{backend}/ready"):
            return
        time.sleep(0.3)
    raise StackError(f"Roost did not become ready:\n{log.read_text(errors='replace')[-2000:]}")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _stop(up: subprocess.Popen) -> None:
    """SIGTERM lets `up` stop its children in order; they die with it if it has to be killed."""
    up.send_signal(signal.SIGTERM)
    try:
        up.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        up.kill()
        up.wait()
