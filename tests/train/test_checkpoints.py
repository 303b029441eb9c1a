"""Checkpoints outlive kills, full disks and damage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from training.checkpoints import CheckpointFolder, replace_durably
from training.errors import Refused, TrainingError


def state(value: float) -> dict[str, torch.Tensor]:
    return {"weights|a": torch.full((64, 64), value), "step|a": torch.tensor(value)}


def written(folder: Path, *steps: int) -> CheckpointFolder:
    checkpoints = CheckpointFolder(folder, "run")
    for step in steps:
        checkpoints.write(f"step-{step:08d}", state(step), {"step": step})
    return checkpoints


def step_of(checkpoints: CheckpointFolder) -> int:
    found = checkpoints.newest()
    assert found is not None
    assert bool((found.state["weights|a"] == found.facts["step"]).all())
    return found.facts["step"]


def test_newest_comes_back_as_written(tmp_path: Path) -> None:
    assert step_of(written(tmp_path, 5, 10)) == 10


def test_two_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = written(tmp_path, 1)
    checkpoints.write("best", state(1), {"step": 1})
    written(tmp_path, 2, 3, 4)
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == [
        "best.safetensors",
        "step-00000003.safetensors",
        "step-00000004.safetensors",
    ]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone", "manifest cut"])
def test_damaged_newest_is_passed_over_for_the_one_before(tmp_path: Path, damage: str) -> None:
    checkpoints = written(tmp_path, 1, 2)
    path = tmp_path / ("step-00000002.json" if damage == "manifest cut" else "step-00000002.safetensors")
    data = path.read_bytes()
    middle = len(data) // 2
    changed = {"cut": data[:middle], "manifest cut": data[:middle], "empty": b""}
    changed["flipped"] = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    path.unlink()
    if damage != "gone":
        path.write_bytes(changed[damage])
    assert step_of(checkpoints) == 1


def test_file_without_manifest_is_not_trusted(tmp_path: Path) -> None:
    checkpoints = written(tmp_path, 1, 2)
    (tmp_path / "step-00000002.json").unlink()
    assert step_of(checkpoints) == 1


def test_other_runs_checkpoints_are_refused(tmp_path: Path) -> None:
    written(tmp_path, 1)
    other = CheckpointFolder(tmp_path, "another run")
    assert other.newest() is None
    with pytest.raises(Refused, match="another"):
        other.check_owner()


def test_cleared_folder_belongs_to_whoever_comes(tmp_path: Path) -> None:
    written(tmp_path, 1).clear()
    CheckpointFolder(tmp_path, "another run").check_owner()


def test_leftovers_of_a_killed_write_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".step-00000001.safetensors.abc.tmp").write_bytes(b"half")
    written(tmp_path, 1)
    assert not list(tmp_path.glob(".*"))


def test_failing_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def write(beside: Path) -> None:
        beside.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_durably(path, write)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.json", "old")]


@pytest.mark.skipif(not Path("/dev/full").exists() or os.geteuid() != 0, reason="needs root to mount a small tmpfs")
def test_full_disk_keeps_the_last_good_one(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(small)], check=False).returncode:
        pytest.skip("this container may not mount a tmpfs")
    try:
        checkpoints = written(small, 1)
        with pytest.raises(TrainingError, match="Free some space") as refused:
            written(small, 2, 3, 4, 5, 6)
        assert refused.value.code == "disk_full"
        assert step_of(checkpoints) >= 1
    finally:
        subprocess.run(["umount", str(small)], check=False)


WRITER = """
    import sys
    from pathlib import Path
    import torch
    from training.checkpoints import CheckpointFolder
    torch.set_num_threads(1)
    folder = CheckpointFolder(Path(sys.argv[1]), "run")
    found = folder.newest()
    step = found.facts["step"] if found else 0
    while True:
        step += 1
        folder.write(f"step-{step:08d}", {"weights|a": torch.full((64, 64), float(step))}, {"step": step})
        print(step, flush=True)
"""


def test_kill_at_any_moment_leaves_a_sound_checkpoint(tmp_path: Path) -> None:
    """Six kills at moments spread over the writing; steps never go back by more than the one being written."""
    last = 0
    for attempt in range(6):
        script = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
        child = subprocess.Popen(script, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        reached = int(child.stdout.readline())
        time.sleep(0.006 * attempt)
        child.send_signal(signal.SIGKILL)
        reached = max([reached, *map(int, child.stdout.read().split())])
        child.wait()
        found = step_of(CheckpointFolder(tmp_path, "run"))
        assert found >= max(reached, last)
        last = found
