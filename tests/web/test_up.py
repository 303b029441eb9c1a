"""`manage.py up` with real processes: starts, restarts, refuses and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.processes import PATIENCE_S, ROOT, wait_until
from tests.stack import running_stack, stack_environment

pytestmark = pytest.mark.slow


def _children(pid: int) -> list[int]:
    """All descendants of a process, from /proc."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *_children(child)]
    return found


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def _pid_of(pids: list[int], word: str) -> int:
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in pids}
    return min(pid for pid, command in commands.items() if word in command)


def test_up_serves_restarts_the_dead_and_stops_every_descendant(tmp_path):
    with running_stack(tmp_path, demo=None) as stack:
        assert httpx.get(f"{stack.url}/login/").status_code == 200
        assert httpx.get(f"{stack.backend_url}/ready").json()["state"] == "ready"
        everything = _children(stack.up.pid)
        os.kill(_pid_of(everything, "gunicorn"), signal.SIGKILL)
        wait_until(lambda: "web ended with status" in stack.log("up"))
        wait_until(lambda: stack.log("up").count("✓ web") == 2)
        assert httpx.get(f"{stack.url}/healthz").status_code == 200
        everything += _children(stack.up.pid)
    # A stop that takes too long raises in running_stack.
    assert stack.up.returncode == 0
    assert [pid for pid in everything if _alive(pid)] == []


def test_killed_up_takes_its_children_along(tmp_path):
    # Also: healthy behind a TLS proxy, asked for by another name than the one it listens on.
    proxied = {"ROOST_HTTPS": "1", "ROOST_ALLOWED_HOSTS": "roost.example", "ROOST_MLBACKEND_TOKEN": "a shared token"}
    with running_stack(tmp_path, demo=None, **proxied) as stack:
        everything = _children(stack.up.pid)
        assert len(everything) >= 4
        stack.up.send_signal(signal.SIGKILL)
        wait_until(lambda: not any(_alive(pid) for pid in everything))


@pytest.fixture
def migrated(tmp_path) -> dict[str, str]:
    environment = stack_environment(tmp_path)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    return environment


def _up(environment: dict[str, str]) -> subprocess.CompletedProcess:
    command = [sys.executable, "manage.py", "up"]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.mark.parametrize("variable", ["ROOST_PORT", "ROOST_MLBACKEND_PORT"])
def test_taken_port_is_told_before_anything_starts(migrated, variable):
    with socket.create_server(("127.0.0.1", int(migrated[variable]))):
        refused = _up(migrated)
    assert refused.returncode == 1
    assert f"Port {migrated[variable]} can't be used" in refused.stderr
    assert variable in refused.stderr
    assert not (Path(migrated["ROOST_VAR"]) / "logs").exists()


def test_port_that_is_no_number_is_refused(migrated):
    refused = _up({**migrated, "ROOST_PORT": "eighty"})
    assert "ROOST_PORT='eighty' is no port" in refused.stderr


def test_up_without_a_database_says_what_to_run(tmp_path):
    refused = _up(stack_environment(tmp_path))
    assert refused.returncode == 1
    assert "make run" in refused.stderr
