"""Several processes train one run: real ones, started by torchrun, over gloo on the CPU."""

from __future__ import annotations

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

from tests.train.snapshots import Snapshot, events_of, tiny_model
from training.config import read_config
from training.events import Events
from training.launch import StopRequest
from training.runs import run_train

ROOT = Path(__file__).resolve().parents[2]
STEPS = 12
# The softmax does not change when a number is added to all its inputs: what a key's bias gets for a gradient is
# rounding alone, which AdamW makes full steps of.
WITHOUT_GRADIENT = "k_proj.bias"
# Where boxes' terms pull both ways little is left but rounding, and AdamW divides it by its own size: 3e-5 apart here
# after 12 steps, all other weights 1.2e-7.
REFERENCE_POINTS = "detr_decoder.reference_points"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    made = Snapshot(root).add_scenes("train", "easy", 8).add_scenes("val", "easy", 3).freeze()
    folders = {"snapshot": made.folder, "images": made.images, "base_model": tiny_model(root / "model")}
    return {key: str(folder) for key, folder in folders.items()} | {
        "features": str(root / "features"),
        **{"steps": STEPS, "batch_pairs": 7, "mask_pairs": 2, "blend_pairs": 2, "one_to_many": True, "semantic": True},
        **{"validate_every": 8, "checkpoint_every": 4, "nice": 0, "device": "cpu"},
    }


def asked(world: dict[str, Any], out: Path, **changes: Any) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    path = out / "asked.json"
    path.write_text(json.dumps(world | changes))
    return path


def started(world: dict[str, Any], out: Path, **changes: Any) -> subprocess.Popen[str]:
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "training", "train"]
    command = [sys.executable, *together, "--config", str(asked(world, out, **changes)), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ROOST_NO_JEMALLOC": "1"}
    with (out / "log.txt").open("a") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)


def ended(child: subprocess.Popen[str], at_loss: Callable[[], None] | None = None) -> list[dict[str, Any]]:
    """What the run said until its end; at_loss is called when its first steps are made."""
    assert child.stdout is not None
    events = []
    for line in child.stdout:
        events.append(json.loads(line))
        if at_loss and events[-1]["event"] == "loss":
            at_loss()
            at_loss = None
    child.wait()
    return events


@pytest.fixture(scope="module")
def together(world: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The run of two processes that nothing stopped, each of which cuts its share into parts."""
    out = tmp_path_factory.mktemp("together")
    child = started(world, out, micro_pairs=2)
    events = ended(child)
    assert child.returncode == 0, (out / "log.txt").read_text()
    return out, events


def last_weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(max((out / "checkpoints").glob("step-*.safetensors")))


def test_two_processes_learn_what_one_does(
    world: dict[str, Any], tmp_path: Path, together: tuple[Path, list[dict[str, Any]]]
) -> None:
    out, events = together
    with (tmp_path / "events").open("w+") as file:
        run_train(read_config("train", asked(world, tmp_path)), tmp_path, Events([file]), StopRequest())
        file.seek(0)
        alone = events_of(file, "loss")
    losses = [event for event in events if event["event"] == "loss"]
    names = set(alone[0]) - {"at", "event"}
    assert {"mask", "dice", "blend", "many", "semantic", "total"} <= names
    assert [event["step"] for event in losses] == [event["step"] for event in alone] == [5, 10, 12]
    for one, two in zip(alone, losses, strict=True):
        assert {name: two[name] for name in names} == pytest.approx({name: one[name] for name in names}, rel=1e-5)
    expected, got = last_weights(tmp_path), last_weights(out)
    assert expected.keys() == got.keys()
    weights = [key for key in expected if key.startswith(("weights|", "average|")) and WITHOUT_GRADIENT not in key]
    apart = {key: float((got[key] - expected[key]).abs().max() / expected[key].abs().max().clamp(1)) for key in weights}
    least = {key: 1e-4 if REFERENCE_POINTS in key else 1e-5 for key in weights}
    assert all(apart[key] < least[key] for key in weights), sorted(apart.items(), key=lambda item: -item[1])[:5]
    one, two = (json.loads((folder / "manifest.json").read_text()) for folder in (tmp_path, out))
    assert (one["processes"], two["processes"]) == (1, 2)
    assert two["metrics"] == one["metrics"]


def test_first_process_alone_tells_and_writes(together: tuple[Path, list[dict[str, Any]]]) -> None:
    out, events = together
    assert [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()] == events
    kinds = [event["event"] for event in events]
    assert kinds.count("done") == 1
    assert [event["step"] for event in events if event["event"] == "validation"] == [0, 8, 12]
    assert (out / "model" / "model.safetensors").is_file()


def test_stopped_and_resumed_together_ends_in_the_same_bits(
    world: dict[str, Any], tmp_path: Path, together: tuple[Path, list[dict[str, Any]]]
) -> None:
    child = started(world, tmp_path, micro_pairs=2, checkpoint_every=1000)
    events = ended(child, lambda: child.send_signal(signal.SIGTERM))
    assert [(event["event"], event.get("code")) for event in events[-2:]] == [
        ("checkpoint", None),
        ("error", "stopped"),
    ]
    assert 5 <= events[-2]["step"] < STEPS
    again = started(world, tmp_path, micro_pairs=2)
    more = ended(again)
    assert again.returncode == 0, (tmp_path / "log.txt").read_text()
    assert min(event["step"] for event in more if event["event"] == "loss") > 5
    expected, got = last_weights(together[0]), last_weights(tmp_path)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    one, two = (json.loads((folder / "manifest.json").read_text()) for folder in (together[0], tmp_path))
    assert one["weights_hash"] == two["weights_hash"]


@pytest.mark.parametrize("rank", [0, 1])
def test_killed_process_ends_all_with_one_sentence_in_seconds(world: dict[str, Any], tmp_path: Path, rank: int) -> None:
    child = started(world, tmp_path, steps=100_000, validate_every=50_000)
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
    assert took_s < 20


def process_of(parent: int, rank: int) -> int:
    """The child of torchrun that has the rank."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if f"\0RANK={rank}\0" in "\0" + Path(f"/proc/{child}/environ").read_text():
            return int(child)
    raise AssertionError(f"no process of rank {rank}")


def test_what_all_refuse_is_said_once(world: dict[str, Any], tmp_path: Path) -> None:
    events = ended(started(world, tmp_path, batch_pairs=2, base_model="nowhere"))
    assert [(event["event"], event["code"]) for event in events] == [("error", "bad_model")]
