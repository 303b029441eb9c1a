"""The manners of a run's process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolbox.processes import JEMALLOC, _loads
from training.errors import Stopped
from training.launch import StopRequest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import os
from toolbox.processes import restart_with_jemalloc
print(os.getpid(), flush=True)
restart_with_jemalloc()
print(os.getpid(), "jemalloc" in open("/proc/self/maps").read())
"""


def told(**environment: str) -> list[str]:
    bare = {key: value for key, value in os.environ.items() if key not in ("LD_PRELOAD", "ROOST_NO_JEMALLOC")}
    asked = [sys.executable, "-c", SCRIPT]
    ended = subprocess.run(asked, cwd=ROOT, env=bare | environment, capture_output=True, text=True, check=True)
    return ended.stdout.split()


@pytest.mark.skipif(not any(map(_loads, JEMALLOC)), reason="libjemalloc is not installed here (Debian: libjemalloc2)")
def test_process_becomes_itself_under_jemalloc_once() -> None:
    first, again, last, preloaded = told()
    assert first == again == last
    assert preloaded == "True"


def test_jemalloc_can_be_turned_off() -> None:
    first, last, preloaded = told(ROOST_NO_JEMALLOC="1")
    assert (first, preloaded) == (last, "False")


def test_priority_never_rises_and_never_adds_up() -> None:
    script = "import os; from training.launch import settle; os.nice(12); settle(threads=1, nice=10); print(os.nice(0))"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(ended.stdout) == min(19, os.nice(0) + 12)  # 19 is the lowest that there is


def test_stop_request_is_heard_between_two_steps() -> None:
    stop, heard = StopRequest(), []
    report = stop.checked(lambda done, of: heard.append(done))
    report(1, 3)
    stop.ask()
    with pytest.raises(Stopped):
        report(2, 3)
    assert heard == [1, 2]
