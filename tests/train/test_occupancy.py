"""A run's folder has one writer: real processes, since the lock is the kernel's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from training.errors import Refused
from training.occupancy import check_free, occupied

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from training.occupancy import occupied
with occupied(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    asked = [sys.executable, "-c", HOLDER, str(folder)]
    child = subprocess.Popen(asked, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def asked_to_train(out: Path) -> subprocess.CompletedProcess[str]:
    """Its config is one that would be refused too: who is told of the folder was refused before that was read."""
    asked = [sys.executable, "-m", "training", "train", "--out", str(out), "--config", "nowhere.json"]
    environment = {**os.environ, "ROOST_NO_JEMALLOC": "1"}
    return subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_second_writer_is_refused_by_name_and_leaves_no_trace(tmp_path: Path) -> None:
    first = holder(tmp_path / "run")
    ended = asked_to_train(tmp_path / "run")
    first.kill()
    first.wait()
    event = json.loads(ended.stdout)
    assert (ended.returncode, event["event"], event["code"]) == (2, "error", "folder_in_use")
    assert f"process {first.pid} on {socket.gethostname()}" in event["message"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_folder_of_a_killed_writer_is_free(tmp_path: Path) -> None:
    first = holder(tmp_path)
    with pytest.raises(Refused, match=f"process {first.pid} "):
        check_free(tmp_path)
    first.kill()
    first.wait()
    check_free(tmp_path)
    with occupied(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_folder_is_free_after_its_writer_ended_and_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), occupied(tmp_path):
        print(1 / 0)
    with occupied(tmp_path), pytest.raises(Refused, match="is being written to"), occupied(tmp_path):
        raise AssertionError("two writers")


def test_looking_whether_a_folder_is_free_makes_nothing(tmp_path: Path) -> None:
    check_free(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=r"cannot be written to \(Not a directory\)"), occupied(tmp_path / "file" / "run"):
        raise AssertionError("no folder")
