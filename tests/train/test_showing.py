"""Which validations show the fixed pairs, and that what they show is what was judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.test_retrain import config, world  # noqa: F401
from tests.train.test_stopping import StopWhen
from training.errors import Stopped
from training.launch import StopRequest
from training.runs import run_train

GIVEN = {"steps": 24, "validate_every": 1, "checkpoint_every": 24, "sample_pairs": 3}
# 24 steps cut into ten: the first validation of each tenth, and the last.
SHOWN = [0, 3, 5, 8, 10, 12, 15, 17, 20, 22, 24]


def heard(world: dict[str, str], out: Path, stop: StopRequest, ear: StopWhen, **changes: Any) -> list[dict[str, Any]]:  # noqa: F811
    run_train(config(world, out, **(GIVEN | changes)), out, ear, stop)
    return ear.heard


def steps_of(events: list[dict[str, Any]]) -> list[int]:
    return [event["step"] for event in events if event["event"] == "sample"]


def test_pairs_are_shown_at_the_first_and_last_validation_and_ten_times_at_most_between(
    world: dict[str, str],  # noqa: F811
    tmp_path: Path,
) -> None:
    torch.set_num_threads(1)
    stop = StopRequest()
    events = heard(world, tmp_path, stop, StopWhen(stop, "never", 0))
    assert [row["step"] for row in events if row["event"] == "validation"] == list(range(25))
    assert steps_of(events) == [step for step in SHOWN for _ in range(3)]
    shown = [{event["pair_id"] for event in events if event["event"] == "sample" and event["step"] == s} for s in SHOWN]
    assert all(pairs == shown[0] for pairs in shown)


def test_run_that_goes_on_shows_the_rest(world: dict[str, str], tmp_path: Path) -> None:  # noqa: F811
    stop = StopRequest()
    first = StopWhen(stop, "validation", 13)
    with pytest.raises(Stopped):
        heard(world, tmp_path, stop, first)
    again = StopRequest()
    events = heard(world, tmp_path, again, StopWhen(again, "never", 0))
    assert steps_of(first.heard) == [step for step in SHOWN if step <= 13 for _ in range(3)]
    kept = {0} - {step for step in steps_of(events)[:-3]}  # the base model is kept: told again at the end
    assert sorted(set(steps_of(events)) - kept) == [step for step in SHOWN if step > 13]


def test_no_pairs_are_shown_where_none_are_asked_for(world: dict[str, str], tmp_path: Path) -> None:  # noqa: F811
    stop = StopRequest()
    changes = {"sample_pairs": 0, "steps": 2}
    assert steps_of(heard(world, tmp_path, stop, StopWhen(stop, "never", 0), **changes)) == []
