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
import sys, time
from pathlib import Path
from training.occupancy import occupied
with occupied(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a writer that stays; the tests of one that ends set their own."""
    monkeypatch.setenv("ROOST_FOLDER_WAIT_SECONDS", "1")


def holder(folder: Path, *, ends_after_s: float = 0.0) -> subprocess.Popen[str]:
    """It has the folder until its input is closed, and so long after that."""
    asked = [sys.executable, "-c", HOLDER, str(folder), str(ends_after_s)]
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
    told, event = map(json.loads, ended.stdout.splitlines())
    assert (ended.returncode, event["event"], event["code"]) == (2, "error", "folder_in_use")
    who = f"process {first.pid} on {socket.gethostname()}"
    assert (told["event"], told["code"]) == ("warning", "waits_for_folder")
    assert who in told["message"]
    assert who in event["message"]
    assert "waited for 1 s" in event["message"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_writer_that_is_ending_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOST_FOLDER_WAIT_SECONDS", "60")
    first = holder(tmp_path, ends_after_s=1.5)
    assert first.stdin is not None
    first.stdin.close()
    heard: list[str] = []
    with occupied(tmp_path, heard.append):
        assert first.wait(timeout=10) == 0
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    assert len(heard) == 1
    assert f"process {first.pid} on {socket.gethostname()}" in heard[0]
    assert "60 s at most" in heard[0]


@pytest.mark.parametrize("given", ["soon", "-1", "nan"])
def test_wait_that_is_no_time_is_refused_by_name(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOST_FOLDER_WAIT_SECONDS", given)
    with pytest.raises(Refused, match="ROOST_FOLDER_WAIT_SECONDS is seconds"), occupied(tmp_path):
        raise AssertionError("no time")


def test_folder_of_a_killed_writer_is_free(tmp_path: Path) -> None:
    first = holder(tmp_path)
    with pytest.raises(Refused, match=f"process {first.pid} "):
        check_free(tmp_path)
    first.kill()
    first.wait()
    check_free(tmp_path)
    with occupied(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_folder_is_free_after_its_writer_ended_and_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ZeroDivisionError), occupied(tmp_path):
        print(1 / 0)
    monkeypatch.setenv("ROOST_FOLDER_WAIT_SECONDS", "0")
    with occupied(tmp_path), pytest.raises(Refused, match="is being written to"), occupied(tmp_path):
        raise AssertionError("two writers")


def test_looking_whether_a_folder_is_free_makes_nothing(tmp_path: Path) -> None:
    check_free(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=r"cannot be written to \(Not a directory\)"), occupied(tmp_path / "file" / "run"):
        raise AssertionError("no folder")
