"""The services of a larger Roost for tests: a Postgres and a Redis of their own, on free ports, gone afterwards.

`python -m tests.services` runs the rules of queue and jobs once more, on Postgres; `make test` does so.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from annotator.operations.loop.stack import free_port
from tests.processes import PATIENCE_S
from toolbox.processes import child_command

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = PATIENCE_S
# What has to hold on either database: who gets what, for how long, and that nothing is lost or doubled.
FILES = (
    "postgres",
    "many_processes",
    "claim",
    "lease_races",
    "submit",
    "stale_submits",
    "review",
    "bulk_approval",
    "reassign",
    "doubles",
    "one_pass",
    "mining",
    "snapshot",
    "holdout",
    "faults",
    "label_studio_pull",
)
# Of the jobs' tests those that the database decides; others start workers for long.
JOBS = (
    "killed_worker_s_job_comes_back_on_another_worker",
    "message_that_comes_twice_finds_the_job_taken",
    "second_mining_is_refused_while_one_is_under_way",
    "job_that_killed_every_worker_is_given_up",
    "living_worker_s_job_is_left_alone_by_the_sweeper",
    "dead_worker_s_job_waits_again_and_is_not_rung_at_every_sweep",
    "job_whose_message_was_lost_is_rung_again_but_not_at_every_sweep",
    "cancelled_job_of_a_dead_worker_ends_without_running_again",
)
# Every worker has a database of its own (tests/settings.py).
SIDE_BY_SIDE = ["-n2", "--dist=loadfile"]
RULES = [f"tests/web/test_{name}.py" for name in FILES] + [f"tests/web/test_jobs.py::test_{name}" for name in JOBS]


class ServiceMissing(Exception):
    """The service is not installed here; the text says what to install."""


@contextmanager
def postgres_server(*options: str) -> Iterator[str]:
    """An empty Postgres on a free loopback port; yields the libpq URI of a database that is still to be made."""
    programs = _postgres_programs()
    # Not below pytest's own folder, which nobody but its owner may enter: Postgres refuses to run as root.
    with tempfile.TemporaryDirectory(prefix="roost-postgres-") as folder:
        data, port = Path(folder) / "data", free_port()
        user = _unprivileged()
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        initdb = [str(programs / "initdb"), "-D", str(data), "-U", "roost", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(_as(user, initdb), check=True, stdout=subprocess.DEVNULL, cwd=folder)
        switches = ["-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", "", *options]
        command = _as(user, [str(programs / "postgres"), *switches])
        ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        with _running(command, Path(folder), lambda: subprocess.run(ready, check=False).returncode == 0, signal.SIGINT):
            yield f"postgresql://roost@127.0.0.1:{port}/roost"


@contextmanager
def redis_server(port: int) -> Iterator[str]:
    """An empty Redis that keeps nothing on disk; yields its URL."""
    with tempfile.TemporaryDirectory(prefix="roost-redis-") as folder:
        switches = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
        command = child_command(["redis-server", *switches])
        with _running(command, Path(folder), lambda: _pongs(port), signal.SIGKILL):
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _running(command: list[str], folder: Path, is_ready: Callable[[], bool], end: signal.Signals) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=folder, stdout=sink, stderr=sink, env=_plain_environment())
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, f"not ready within {START_SECONDS} s: {command[-1]}"
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(end)
        process.wait(START_SECONDS)


def _plain_environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return environment | {"PYTHONPATH": str(ROOT)}


def _postgres_programs() -> Path:
    """Debian keeps the server's programs off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    program = str(found[-1]) if found else shutil.which("initdb")
    if program is None:
        raise ServiceMissing("no Postgres server here (Debian: apt-get install postgresql)")
    return Path(program).parent


def _unprivileged() -> pwd.struct_passwd | None:
    return pwd.getpwnam("postgres") if os.getuid() == 0 else None


def _as(user: pwd.struct_passwd | None, command: list[str]) -> list[str]:
    """As that user, and not outliving this process."""
    if user is None:
        return child_command(command)
    identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", *identity, "--pdeathsig=INT", *command]


def _pongs(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def main(arguments: list[str]) -> int:
    """Run these tests, else the RULES, on Postgres; what pytest said, 0 with the reason where there is none."""
    try:
        # A test database need not survive a power cut.
        with postgres_server("-c", "fsync=off", "-c", "full_page_writes=off") as uri:
            names_tests = any(not argument.startswith("-") for argument in arguments)
            command = [sys.executable, "-m", "pytest", *arguments, *([] if names_tests else SIDE_BY_SIDE + RULES)]
            return subprocess.run(
                command, cwd=ROOT, env={**os.environ, "ROOST_TEST_POSTGRES": uri}, check=False
            ).returncode
    except ServiceMissing as missing:
        print(f"The rules were not run on Postgres: {missing}.")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
