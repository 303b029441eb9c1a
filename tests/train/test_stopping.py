"""A stopped run lets go of the card before it writes, loses no step, and goes on to the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.processes import ROOT
from tests.train.test_retrain import config, last_weights, train, world  # noqa: F401
from training.checkpoints import CheckpointFolder
from training.errors import Stopped
from training.events import Events
from training.launch import StopRequest
from training.models import load_model
from training.runs import run_train
from training.saving import Saver, let_go
from training.trainer import Trainer

STEPS = {"steps": 40, "validate_every": 40, "checkpoint_every": 1000}
SLOW_SECONDS = 14.0  # longer than a supervisor waits for a trainer that does not say that it saves
LET_GO_SECONDS = 10.0


def started(config_path: Path, out: Path, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "training", "train", "--config", str(config_path), "--out", str(out)]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
    return subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def events_of(child: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert child.stdout is not None
    yield from map(json.loads, child.stdout)


def test_card_is_let_go_at_once_on_a_slow_disk_and_no_step_is_lost(world: dict[str, str], tmp_path: Path) -> None:  # noqa: F811
    """A real process, and a disk that takes 14 s for a step's file."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    first = train(world, whole, **STEPS)
    config(world, parts, **STEPS)
    slow = f"{ROOT / 'tests' / 'slow_disk'}:{ROOT}"
    child = started(parts / "config.json", parts, PYTHONPATH=slow, SLOW_DISK_SECONDS=str(SLOW_SECONDS))
    events = events_of(child)
    reached = next(event["step"] for event in events if event["event"] == "loss")
    child.send_signal(signal.SIGTERM)
    asked_at = time.monotonic()
    saving = next(event for event in events if event["event"] == "saving")
    let_go_at = time.monotonic()
    rest = list(events)
    assert (child.wait(), rest[-1]["code"]) == (143, "stopped")
    if os.getloadavg()[0] <= (os.cpu_count() or 1):  # on a crowded machine the order below is what can be told
        assert let_go_at - asked_at < LET_GO_SECONDS
    assert time.monotonic() - let_go_at > SLOW_SECONDS - 1
    assert reached <= saving["step"] < STEPS["steps"]
    saved = next(event for event in rest if event["event"] == "checkpoint")
    assert (saved["step"], Path(saved["path"]).is_file()) == (saving["step"], True)
    second = train(world, parts, **STEPS)
    expected, got = last_weights(whole), last_weights(parts)
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert first["weights_hash"] == second["weights_hash"]


class StopWhen(Events):
    """Asks for the end at the first event of a kind at a step; keeps what it heard."""

    def __init__(self, stop: StopRequest, event: str, step: int, **fields: Any) -> None:
        super().__init__([])
        self._stop, self._when = stop, {"event": event, "step": step, **fields}
        self.heard: list[dict[str, Any]] = []
        self.listen(self._hear)

    def _hear(self, event: dict[str, Any]) -> None:
        self.heard.append(event)
        if self._when.items() <= event.items():
            self._stop.ask()


def test_run_stopped_while_it_validates_does_so_first_when_it_goes_on(world: dict[str, str], tmp_path: Path) -> None:  # noqa: F811
    """The loss of step 5 is told just before the validation that is due then."""
    given: dict[str, Any] = {"steps": 8, "validate_every": 5, "checkpoint_every": 1000}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    first = train(world, whole, **given)
    stop = StopRequest()
    events = StopWhen(stop, "loss", 5)
    with pytest.raises(Stopped):
        run_train(config(world, parts, **given), parts, events, stop)
    assert [row["step"] for row in events.heard if row["event"] == "validation"] == [0]
    assert next(row["step"] for row in events.heard if row["event"] == "saving") == 5
    second = train(world, parts, **given)
    assert [row["step"] for row in second["metrics"]["validations"]] == [0, 5, 8]
    assert (first["metrics"], first["weights_hash"]) == (second["metrics"], second["weights_hash"])


def test_stopped_trainer_holds_no_weights_any_more(world: dict[str, str], tmp_path: Path) -> None:  # noqa: F811
    stop = StopRequest()
    asked = config(world, tmp_path, steps=8, validate_every=8, checkpoint_every=1000)
    model = load_model(world["base_model"], device=torch.device("cpu"))
    trainer = Trainer(asked, model, tmp_path, StopWhen(stop, "loss", 5), stop)
    with pytest.raises(Stopped):
        trainer.run()
    moments = [value for row in trainer.optimiser.state.values() for value in row.values()]
    held = [*model.network.parameters(), *model.network.buffers(), *trainer.average.weights.values(), *moments]
    assert len(held) > 100
    assert sum(tensor.nbytes for tensor in held) == 0


def test_what_is_let_go_stays_whole_for_whoever_took_it_before() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    kept = weight.detach()
    let_go([weight])
    assert (weight.numel(), kept.tolist()) == (0, [1.0, 1.0, 1.0])


def test_what_is_written_behind_is_the_moment_it_was_asked_for(tmp_path: Path) -> None:
    """As on a card, where training goes on meanwhile and some of the state lies on the CPU."""
    stop, heard = StopRequest(), StopWhen(StopRequest(), "never", 0)
    saver = Saver(CheckpointFolder(tmp_path, "run"), heard, stop, waits=False)
    weight = torch.zeros(2_000_000)
    for step in (1, 2, 3):
        saver.save(f"step-{step:08d}", {"weights|a": weight.fill_(step)}, {"step": step})
        weight.fill_(-1)
    saver.settle()
    found = CheckpointFolder(tmp_path, "run").newest()
    assert found is not None
    assert (found.facts["step"], found.state["weights|a"].unique().tolist()) == (3, [3.0])
    assert [row["step"] for row in heard.heard] == [1, 2, 3]
