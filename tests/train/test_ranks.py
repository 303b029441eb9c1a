"""Several processes train one run: real ones, started by torchrun, over gloo on the CPU."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.processes import PATIENCE_S
from tests.train.snapshots import Snapshot, events_of, tiny_model
from toolbox.processes import together_command
from training.config import read_config
from training.events import Events
from training.launch import StopRequest
from training.runs import run_train

ROOT = Path(__file__).resolve().parents[2]
STEPS = 8


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    made = Snapshot(root).add_scenes("train", "easy", 8).add_scenes("val", "easy", 3).freeze()
    folders = {"snapshot": made.folder, "images": made.images, "base_model": tiny_model(root / "model")}
    return {key: str(folder) for key, folder in folders.items()} | {
        "features": str(root / "features"),
        **{"steps": STEPS, "batch_pairs": 7, "mask_pairs": 2, "blend_pairs": 2, "one_to_many": True, "semantic": True},
        **{"validate_every": 5, "checkpoint_every": 3, "nice": 0, "device": "cpu"},
    }


def asked(world: dict[str, Any], out: Path, **changes: Any) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    path = out / "asked.json"
    path.write_text(json.dumps(world | changes))
    return path


def started(world: dict[str, Any], out: Path, **changes: Any) -> subprocess.Popen[str]:
    command = [*together_command(sys.executable, 2), "-m", "training", "train"]
    command += ["--config", str(asked(world, out, **changes)), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ROOST_NO_JEMALLOC": "1"}
    with (out / "log.txt").open("a") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)


def ended(child: subprocess.Popen[str], at_checkpoint: Callable[[], None] | None = None) -> list[dict[str, Any]]:
    """What the run said until its end; at_checkpoint is called when the one of step 3 is written."""
    assert child.stdout is not None
    events = []
    for line in child.stdout:
        events.append(json.loads(line))
        if at_checkpoint and (events[-1]["event"], events[-1].get("step")) == ("checkpoint", 3):
            at_checkpoint()
            at_checkpoint = None
    child.wait()
    return events


Ended = tuple[Path, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def together(world: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The run of two processes that nothing stopped; each cuts its share into parts, and there is a tracker."""
    out = tmp_path_factory.mktemp("together")
    child = started(world, out, micro_pairs=2, trackers=["tensorboard"])
    events = ended(child)
    assert child.returncode == 0, (out / "log.txt").read_text()
    return out, events


def alone(world: dict[str, Any], out: Path, **changes: Any) -> list[dict[str, Any]]:
    """The losses that one process tells."""
    with (out / "events").open("w+") as file:
        run_train(read_config("train", asked(world, out, **changes)), out, Events([file]), StopRequest())
        file.seek(0)
        return events_of(file, "loss")


def last_weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(max((out / "checkpoints").glob("step-*.safetensors")))


def manifest_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return found


def losses_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == "loss"]


def test_two_processes_learn_what_one_does_from_the_same_parts(
    world: dict[str, Any], tmp_path: Path, together: Ended
) -> None:
    """Of 4 and 3 pairs, two at a time, as one process takes 7 pairs two at a time: sums differ in their order alone."""
    out, events = together
    expected = alone(world, tmp_path, micro_pairs=2)
    names = set(expected[0]) - {"at", "event"}
    assert {"mask", "dice", "blend", "many", "semantic", "total"} <= names
    assert [event["step"] for event in losses_of(events)] == [event["step"] for event in expected] == [5, 8]
    for one, two in zip(expected, losses_of(events), strict=True):
        assert {name: two[name] for name in names} == pytest.approx({name: one[name] for name in names}, rel=1e-5)
    want, got = last_weights(tmp_path), last_weights(out)
    assert want.keys() == got.keys()
    weights = [key for key in want if key.startswith(("weights|", "average|"))]
    apart = {key: float((got[key] - want[key]).abs().max() / want[key].abs().max().clamp(1)) for key in weights}
    assert max(apart.values()) < 1e-6, sorted(apart.items(), key=lambda item: -item[1])[:5]
    one, two = manifest_of(tmp_path), manifest_of(out)
    assert (one["processes"], two["processes"]) == (1, 2)
    assert two["metrics"] == one["metrics"]


def test_losses_are_those_of_a_batch_that_is_taken_whole(
    world: dict[str, Any], tmp_path: Path, together: Ended
) -> None:
    """Losses, not weights: AdamW makes steps of 3e-5 of a gradient that cancels to 3e-9 or to nothing, as it rounds."""
    expected = alone(world, tmp_path)
    for one, two in zip(expected, losses_of(together[1]), strict=True):
        names = set(one) - {"at", "event"}
        assert {name: two[name] for name in names} == pytest.approx({name: one[name] for name in names}, rel=1e-5)


def test_first_process_alone_tells_tracks_and_writes(together: Ended) -> None:
    out, events = together
    assert [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()] == events
    kinds = [event["event"] for event in events]
    assert (kinds.count("done"), kinds.count("tracker")) == (1, 1)
    assert [event["step"] for event in events if event["event"] == "validation"] == [0, 5, 8]
    assert (out / "model" / "model.safetensors").is_file()
    if importlib.util.find_spec("tensorboard"):
        assert len(list((out / "tracking").rglob("events.out.tfevents*"))) == 1


def assert_same_bits(one: Path, two: Path) -> None:
    expected, got = last_weights(one), last_weights(two)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert manifest_of(one)["weights_hash"] == manifest_of(two)["weights_hash"]


def test_stopped_and_resumed_together_ends_in_the_same_bits(
    world: dict[str, Any], tmp_path: Path, together: Ended
) -> None:
    child = started(world, tmp_path, micro_pairs=2)
    events = ended(child, lambda: child.send_signal(signal.SIGTERM))
    saving = next(event for event in events if event["event"] == "saving")
    assert 3 <= saving["step"] < STEPS
    assert (events[-1]["event"], events[-1]["code"]) == ("error", "stopped")
    assert (tmp_path / "checkpoints" / f"step-{saving['step']:08d}.json").is_file()
    again = started(world, tmp_path, micro_pairs=2)
    ended(again)
    log = (tmp_path / "log.txt").read_text()
    assert again.returncode == 0, log
    assert log.count(f"resumed at step {saving['step']}") == 2
    assert_same_bits(together[0], tmp_path)


@pytest.mark.parametrize("rank", [0, 1])
def test_killed_process_ends_all_with_one_sentence_and_the_run_goes_on_to_the_same_bits(
    world: dict[str, Any], tmp_path: Path, together: Ended, rank: int
) -> None:
    child = started(world, tmp_path, micro_pairs=2)
    killed: list[float] = []

    def kill() -> None:
        os.kill(process_of(child.pid, rank), signal.SIGKILL)
        killed.append(time.monotonic())

    events = ended(child, kill)
    took_s = time.monotonic() - killed[0]
    errors = [event for event in events if event["event"] == "error"]
    assert [event["code"] for event in errors] == ["lost_process"]
    assert f"Process {rank} of the run's 2" in errors[0]["message"]
    assert events_of((tmp_path / "events.jsonl").read_text().splitlines(), "error") == errors
    assert child.returncode != 0
    if os.getloadavg()[0] <= (os.cpu_count() or 1):
        assert took_s < 20
    again = started(world, tmp_path, micro_pairs=2)
    ended(again)
    assert again.returncode == 0, (tmp_path / "log.txt").read_text()
    assert_same_bits(together[0], tmp_path)


def process_of(parent: int, rank: int) -> int:
    """The child of torchrun that has the rank."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if f"\0RANK={rank}\0" in "\0" + Path(f"/proc/{child}/environ").read_text():
            return int(child)
    raise AssertionError(f"no process of rank {rank}")


def test_what_all_refuse_is_said_once(world: dict[str, Any], tmp_path: Path) -> None:
    events = ended(started(world, tmp_path, batch_pairs=16, base_model="nowhere"))
    assert [(event["event"], event["code"]) for event in events] == [("error", "bad_model")]


MEETING = """
import os, signal, sys, time
from training.config import Config
from training.errors import Stopped, TrainingError
from training.events import Events
from training.ranks import Joined

ranks = Joined()
events = ranks.events(Events([sys.stdout]))
ranks.connect(Config(snapshot="s", images="i", device="cpu", launch_wait_minutes=0.05))
act, told = sys.argv[1], ""

def stop():
    raise Stopped

try:
    if act == "sound":
        told = str(ranks.by_first("the validation", lambda: {"best": 3}))
        for _ in range(12 if ranks.is_first else 0):
            time.sleep(0.5)
            ranks.busy()
        ranks.meet("the checkpoint")
        told += ", met"
        ranks.by_first("the next validation", stop)
    if ranks.rank == 1 and act == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if ranks.rank == 1 and act == "absent":
        time.sleep(60)
    if act in ("killed", "absent"):
        ranks.meet("the checkpoint")
    if act == "killed in a step":
        ranks.add_up([1.0])
        if ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        told = str(ranks.add_up([1.0]))
except Stopped:
    told += ", stopped"
except TrainingError as error:
    events("error", code=error.code, message=error.message)
    ranks.leave(1)
    sys.exit(1)
print(f"{ranks.rank}: {told}", flush=True)
ranks.leave(0)
"""


def met(folder: Path, act: str) -> list[str]:
    """What two processes that meet say; nothing is trained."""
    (folder / "meeting.py").write_text(MEETING)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "ROOST_FOLDER_WAIT_SECONDS": "0"}
    command = [*together_command(sys.executable, 2), str(folder / "meeting.py"), act]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    return sorted(ended.stdout.splitlines())


def test_what_the_first_does_alone_reaches_all_and_so_does_its_end(tmp_path: Path) -> None:
    """In between it works for 6 s, twice as long as the others wait for one that gives no sign of work."""
    told = "{'best': 3}, met, stopped"
    assert met(tmp_path, "sound") == [f"0: {told}", f"1: {told}"]


@pytest.mark.parametrize("act", ["killed", "killed in a step"])
def test_process_killed_before_a_meeting_hangs_no_other(tmp_path: Path, act: str) -> None:
    (line,) = met(tmp_path, act)
    error = json.loads(line)
    assert error["code"] == "lost_process"
    assert "Process 1 of the run's 2" in error["message"]


def test_process_that_does_not_come_is_named(tmp_path: Path) -> None:
    (line,) = met(tmp_path, "absent")
    error = json.loads(line)
    assert error["code"] == "missing_process"
    assert "Of the run's 2 processes 1 (from 0) did not come to the checkpoint within 0.05 minutes" in error["message"]
