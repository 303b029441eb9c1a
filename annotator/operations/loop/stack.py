"""A private copy of the product: own ports, own database, own folder, whatever Roost this machine is set to run."""

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

from toolbox.processes import child_command

REPOSITORY = Path(__file__).resolve().parents[3]
START_LIMIT_S = 180.0
STOP_LIMIT_S = 40.0
# How this machine computes is no matter of the copy; where data lie, and who may see them, is.
KEPT = {"ROOST_DEVICE", "ROOST_DTYPE", "ROOST_TORCH_THREADS", "ROOST_NO_JEMALLOC"}


class StackError(Exception):
    """The private copy did not start; the text says which part and quotes the end of its log."""


@dataclass(frozen=True)
class Stack:
    """A running Roost: where it answers, where its files are, and how to run its commands."""

    url: str
    backend_url: str
    var: Path
    environment: dict[str, str]
    up: subprocess.Popen

    def manage(self, *arguments: str) -> str:
        """Run `manage.py` with these arguments against this copy; its standard output, StackError when it fails."""
        return _manage(self.environment, *arguments)

    def token(self, username: str) -> str:
        return self.manage("token", username, "--name", "demo loop", "--quiet").strip()

    def log(self, name: str) -> str:
        """What a process wrote: web, mlbackend, worker, training, or up itself."""
        path = self.var / "up.log" if name == "up" else self.var / "logs" / f"{name}.log"
        return path.read_text(errors="replace")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stack_environment(var: Path, **more: str) -> dict[str, str]:
    """The settings of a copy with ports of its own, and `more`."""
    foreign = [name for name in os.environ if name.startswith("ROOST_") and name not in KEPT]
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    environment["DJANGO_SETTINGS_MODULE"] = "annotator.settings"
    ports = {"ROOST_PORT": str(free_port()), "ROOST_MLBACKEND_PORT": str(free_port())}
    return {**environment, "ROOST_VAR": str(var), **ports, **more}


@contextmanager
def private_stack(*, demo_arguments: Sequence[str] = ()) -> Iterator[Stack]:
    """A copy with the demo project in a temporary folder, which is gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="roost-loop-", ignore_cleanup_errors=True) as folder,
        # What a killed command leaves lies in there too.
        running_stack(Path(folder), demo=demo_arguments, TMPDIR=folder) as stack,
    ):
        yield stack


@contextmanager
def running_stack(var: Path, *, demo: Sequence[str] | None = (), **environment: str) -> Iterator[Stack]:
    """Set up, start `manage.py up`, wait until all of it is healthy; stop it with everything it started.

    `demo`: options of `manage.py demo`, None for no demo project; more environment variables as keywords.
    """
    settings = stack_environment(var, **environment)
    _manage(settings, "migrate", "--verbosity", "0")
    _manage(settings, "collectstatic", "--noinput", "--verbosity", "0")
    if demo is not None:
        _manage(settings, "demo", *demo)
    with (var / "up.log").open("wb") as log:
        command = child_command([sys.executable, "manage.py", "up"])
        up = subprocess.Popen(command, cwd=REPOSITORY, env=settings, stdout=log, stderr=log)
    url, backend_url = (f"http://127.0.0.1:{settings[name]}" for name in ("ROOST_PORT", "ROOST_MLBACKEND_PORT"))
    stack = Stack(url, backend_url, var, settings, up)
    try:
        _wait_until_ready(stack)
        yield stack
    finally:
        _stop(up)


def _manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"manage.py {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def _wait_until_ready(stack: Stack) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while "Roost is ready" not in stack.log("up"):
        if stack.up.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"Roost did not become ready:\n{stack.log('up')[-2000:]}")
        time.sleep(0.1)


def _stop(up: subprocess.Popen) -> None:
    """SIGTERM lets `up` stop its children in order; they die with it if it has to be killed."""
    up.send_signal(signal.SIGTERM)
    try:
        up.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        up.kill()
        up.wait()
        raise StackError("Roost did not stop in time and was killed.") from None
