"""What is written beside and renamed: whole or absent, whatever happens to the writer."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolbox.files import folder_written_whole, move_into_place, write_json, write_text, written_whole

ROOT = Path(__file__).resolve().parents[2]
FILE_WRITER = """
import sys
from pathlib import Path
from toolbox.files import write_text
for number in range(10**9):
    write_text(Path(sys.argv[1]) / "story.txt", f"{number % 10}" * 300_000)
    print(number, flush=True)
"""
FOLDER_WRITER = """
import sys
from pathlib import Path
from toolbox.files import folder_written_whole
for number in range(10**9):
    with folder_written_whole(Path(sys.argv[1]) / f"version-{number}") as beside:
        for name in ("a", "b", "c"):
            (beside / name).write_text(name * 100_000)
    print(number, flush=True)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed_after(script: str, folder: Path, seconds: float) -> None:
    """Run it until it has written once, and that much longer."""
    child = subprocess.Popen([sys.executable, "-c", script, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    child.stdout.read()
    child.wait()


@pytest.mark.parametrize("lasting", [True, False])
def test_error_in_the_writer_leaves_the_old_file_and_no_litter(tmp_path, lasting):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(TypeError), written_whole(tmp_path / "a.txt", lasting=lasting) as beside:
        beside.write_text("ne") + "w"
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_error_in_the_writer_of_a_folder_leaves_the_old_one_and_no_litter(tmp_path):
    with folder_written_whole(tmp_path / "model") as beside:
        (beside / "weights").write_text("old")
    with pytest.raises(TypeError), folder_written_whole(tmp_path / "model", replace=True) as new:
        (new / "weights").write_text("ne") + "w"
    assert names(tmp_path) == ["model"]
    assert (tmp_path / "model" / "weights").read_text() == "old"


def test_new_folder_replaces_the_old_one_only_when_told_so(tmp_path):
    for text in ("one", "two"):
        with folder_written_whole(tmp_path / "model", replace=True) as beside:
            (beside / text).write_text(text)
    with pytest.raises(OSError, match="not empty"), folder_written_whole(tmp_path / "model") as beside:
        (beside / "three").write_text("three")
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["two"]


def test_nothing_has_the_name_before_the_block_ends(tmp_path):
    with written_whole(tmp_path / "deep" / "down" / "a.txt") as beside:
        beside.write_text("whole")
        assert not (tmp_path / "deep" / "down" / "a.txt").exists()
    assert (tmp_path / "deep" / "down" / "a.txt").read_text() == "whole"


@pytest.mark.parametrize("moment", range(5))
def test_kill_at_any_moment_leaves_a_whole_file(tmp_path, moment):
    killed_after(FILE_WRITER, tmp_path, 0.003 * moment)
    text = (tmp_path / "story.txt").read_text()
    assert len(text) == 300_000
    assert len(set(text)) == 1


@pytest.mark.parametrize("moment", range(5))
def test_kill_at_any_moment_leaves_whole_folders(tmp_path, moment):
    killed_after(FOLDER_WRITER, tmp_path, 0.004 * moment)
    named = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert named
    assert all((path / name).read_text() == name * 100_000 for path in named for name in ("a", "b", "c"))


def test_only_writer_removes_what_a_killed_one_left_of_its_own_target(tmp_path):
    left = tmp_path / f".a.txt.{'0' * 31}f.tmp"
    others = [tmp_path / f".b.txt.{'0' * 32}.tmp", tmp_path / f".a.txt.bak.{'0' * 32}.tmp"]
    for path in (left, *others):
        path.write_text("half")
    write_text(tmp_path / "a.txt", "whole", alone=True)
    assert names(tmp_path) == sorted(["a.txt", *(path.name for path in others)])


def test_json_is_json_or_is_refused(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, None]})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"é": [1, None]}
    assert names(tmp_path) == ["a.json"]


def test_finished_file_moves_over_the_old_one(tmp_path):
    (tmp_path / "incoming").write_text("new")
    move_into_place(tmp_path / "incoming", tmp_path / "ab" / "name")
    assert names(tmp_path) == ["ab"]
    assert (tmp_path / "ab" / "name").read_text() == "new"


def test_disk_that_can_not_hold_it_is_an_error_and_not_a_short_file(tmp_path):
    """The limit on a file's size is the kernel's own; the child ignores the signal and is told EFBIG."""
    script = (
        "import resource, signal, sys; from pathlib import Path; from toolbox.files import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_text(Path(sys.argv[1]) / 'a.txt', 'x' * 5000)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, "File too large" in ended.stderr) == (1, True)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed here")
def test_kernel_is_asked_to_sync_the_content_before_the_name_and_the_folder_after(tmp_path):
    script = (
        "import sys; from pathlib import Path; from toolbox.files import write_text; write_text(Path(sys.argv[1]), 'x')"
    )
    watched = ["strace", "-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2", sys.executable, "-c", script]
    ended = subprocess.run([*watched, str(tmp_path / "a")], cwd=ROOT, capture_output=True, text=True, check=False)
    if "ptrace" in ended.stderr and "not permitted" in ended.stderr:
        pytest.skip("this container may not trace a process")
    calls = [line for line in ended.stderr.splitlines() if str(tmp_path) in line]
    content, name, folder = calls
    assert ("fsync(" in content, ".tmp>" in content) == (True, True)
    assert "rename" in name
    assert ("fsync(" in folder, f"{tmp_path}>" in folder) == (True, True)
