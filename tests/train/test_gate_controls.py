"""Negative controls of the whole way: a model that learnt nonsense does not pass, however little the policy asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mlbackend.model.network import Sam3Network
from tests.train.snapshots import Snapshot, tiny_model
from toolbox.gate_policy import Policy
from training.config import Config
from training.dataset import Snapshot as Frozen
from training.errors import TrainingError
from training.events import Events, silent
from training.gate_rows import unread
from training.launch import StopRequest
from training.runs import run_gate, run_train

DEMO = Path(__file__).resolve().parents[2] / "mlbackend" / "weights" / "demo"
ASKS_FOR_A_GAIN_ALONE = Policy(min_gain_points=0.0, alarm_margin=1.0, recall_margin=1.0, concept_points=100.0)


def test_a_challenger_trained_on_shuffled_verdicts_does_not_pass(tmp_path: Path) -> None:
    made = Snapshot(tmp_path)
    made.add_scenes("train", "easy", 12).add_scenes("val", "easy", 6).add_scenes("holdout", "easy", 15)
    made.shuffle_verdicts("train").shuffle_verdicts("val").freeze()
    shared = {"snapshot": str(made.folder), "images": str(made.images), "features": str(tmp_path / "features")}
    learnt = Config(**shared, base_model=str(DEMO), steps=30, batch_pairs=8, validate_every=30, learning_rate=1e-3)
    run_train(learnt, tmp_path / "run", silent(), StopRequest())
    trained = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert trained["metrics"]["best_step"] > 0, "it kept what it learnt"
    roles = {"champion": str(DEMO), "challenger": trained["model"], "baseline": str(DEMO)}
    asked = Config(**shared, **roles, policy=ASKS_FOR_A_GAIN_ALONE)
    gate = json.loads(run_gate(asked, tmp_path / "gate", silent(), StopRequest()).read_text())
    assert gate["decision"] != "promote"
    assert gate["delta_cgf1"] < 0


class FullCard(Events):
    """A card that has no room for the two models that are timed."""

    def __call__(self, event: str, **fields: Any) -> None:
        if fields.get("phase") == "speed":
            raise torch.OutOfMemoryError("CUDA out of memory")


def test_nothing_judged_is_lost_where_two_models_do_not_fit_the_card_to_be_timed(tmp_path: Path) -> None:
    made = (
        Snapshot(tmp_path).add_scenes("train", "easy", 1).add_scenes("val", "easy", 1).add_scenes("holdout", "easy", 4)
    )
    base, other = tiny_model(tmp_path / "base"), tiny_model(tmp_path / "other")
    network = Sam3Network.load(other)
    network.prompt_has_cls = not network.prompt_has_cls  # so that the two take other sums
    network.save(other)
    roles = {"champion": str(base), "challenger": str(other), "baseline": str(base)}
    shared = {"snapshot": str(made.freeze().folder), "images": str(made.images)}
    asked = Config(**shared, **roles, policy=Policy(min_scenes=1))
    with pytest.raises(TrainingError, match="memory ran out") as told:
        run_gate(asked, tmp_path / "gate", FullCard([]), StopRequest())
    assert told.value.code == "out_of_memory"
    rows = json.loads((tmp_path / "gate" / "rows.json").read_text())
    assert {role for role in roles if role in rows[0]} == set(roles)
    for role in roles:
        for name in ("rows", "predictions", "measures"):
            assert (tmp_path / "gate" / role / f"{name}.json").is_file(), (role, name)


def test_pairs_whose_picture_training_has_read_judge_nothing(tmp_path: Path) -> None:
    made, pictures = Snapshot(tmp_path), [np.full((40, 60, 3), shade, np.uint8) for shade in (10, 20, 30)]
    there = np.zeros((40, 60), bool)
    there[5:20, 5:20] = True
    made.add("train", pictures[0], {"hen": [there]})
    made.add("val", pictures[1], {"hen": []})
    for picture in pictures:
        made.add("holdout", picture, {"hen": [there], "duck": []})
    frozen = Frozen(made.freeze().folder)
    kept, left_out = unread(frozen.split("holdout"), [frozen.split("train"), frozen.split("val")])
    assert left_out == 4
    assert [pair.phrase for pair in kept.judged] == ["hen", "duck"]
    assert [row["id"] for row in kept.document["images"]] == [pair.id for pair in kept.pairs]
    assert len(kept.document["annotations"]) == 1
