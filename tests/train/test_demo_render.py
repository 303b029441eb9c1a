"""Drawing the demo's scenes to files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_drawing_processes_end_when_whoever_draws_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.demo.render", "--out", str(tmp_path), "--easy", "100000"]
    drawing = subprocess.Popen(command)
    try:
        children = _wait_for(lambda: _children(drawing.pid))
    finally:
        drawing.send_signal(signal.SIGKILL)
        drawing.wait()
    assert _wait_for(lambda: not any(_is_alive(pid) for pid in children))


def _wait_for(look: Callable[[], Any], seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
