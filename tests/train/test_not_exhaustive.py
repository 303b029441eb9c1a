"""Pairs in which not every instance is marked, through the three verbs: they teach, and judge nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.snapshots import Snapshot, tiny_model
from toolbox.gate_policy import Policy
from training.config import Config
from training.errors import Refused
from training.events import Events
from training.launch import StopRequest
from training.runs import run_evaluate, run_gate, run_train

Row = dict[str, Any]


class Ear(Events):
    """Keeps the warnings, by their code; that a val of a few pairs calibrates nothing is another test's."""

    def __init__(self) -> None:
        super().__init__([])
        self.warnings: dict[str, str] = {}
        self.listen(self._hear)

    def _hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "warning" and event["code"] != "presence_not_calibrated":
            self.warnings[event["code"]] = event["message"]


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def made(tmp_path: Path) -> Snapshot:
    made = Snapshot(tmp_path)
    for split, scenes in (("train", 6), ("val", 4), ("holdout", 4)):
        made.add_scenes(split, "easy", scenes)
    return made


def kinds(made: Snapshot, split: str) -> tuple[list[Row], list[Row]]:
    document = made.document(split)
    marked = {row["image_id"] for row in document["annotations"]}
    rows = document["images"]
    return [row for row in rows if row["id"] in marked], [row for row in rows if row["id"] not in marked]


def leave_open(*rows: Row) -> None:
    for row in rows:
        row["is_instance_exhaustive"] = 0


def config(made: Snapshot, base_model: Path, **changes: Any) -> Config:
    given = {"snapshot": str(made.freeze().folder), "images": str(made.images), "steps": 2, "batch_pairs": 4}
    return Config(**given | {"base_model": str(base_model), "policy": Policy(min_scenes=1)} | changes)


def train(made: Snapshot, base_model: Path, out: Path) -> tuple[Row, dict[str, str]]:
    ear = Ear()
    manifest = run_train(config(made, base_model), out, ear, StopRequest())
    return json.loads(manifest.read_text()), ear.warnings


def test_manifest_and_warning_count_what_was_trained_in_part_and_what_was_left_out(
    made: Snapshot, base_model: Path, tmp_path: Path
) -> None:
    present, absent = kinds(made, "train")
    leave_open(*present[:2], absent[0], kinds(made, "val")[0][0])
    manifest, warnings = train(made, base_model, tmp_path / "run")
    assert manifest["pairs"] == {
        "train": len(present) + len(absent) - 1,
        "train_not_exhaustive": 2,
        "val": len(made.document("val")["images"]) - 1,
        "left_out_not_exhaustive": {"train": 1, "val": 1},
    }
    assert set(warnings) == {"left_out_not_exhaustive"}
    assert "1 pairs of the train split that mark none at all" in warnings["left_out_not_exhaustive"]


def test_whole_snapshot_gives_no_warning(made: Snapshot, base_model: Path, tmp_path: Path) -> None:
    manifest, warnings = train(made, base_model, tmp_path / "run")
    assert manifest["pairs"]["left_out_not_exhaustive"] == {"train": 0, "val": 0}
    assert warnings == {}


def test_train_split_in_which_nothing_pulls_scores_down_is_told(
    made: Snapshot, base_model: Path, tmp_path: Path
) -> None:
    leave_open(*kinds(made, "train")[0])
    _, warnings = train(made, base_model, tmp_path / "run")
    assert "scores only rise" in warnings["no_exhaustive_positive"]


def test_pairs_without_a_mark_are_not_enough_to_be_negatives(made: Snapshot, base_model: Path, tmp_path: Path) -> None:
    leave_open(*kinds(made, "train")[1])
    with pytest.raises(Refused, match="without negatives"):
        train(made, base_model, tmp_path / "run")


def test_gate_judges_by_exhaustive_pairs_alone_and_tells_how_many_it_left_out(
    made: Snapshot, base_model: Path, tmp_path: Path
) -> None:
    present, absent = kinds(made, "holdout")
    leave_open(present[0], absent[0], absent[1])
    roles = {role: str(base_model) for role in ("champion", "challenger", "baseline")}
    path = run_gate(config(made, base_model, **roles), tmp_path / "gate", Ear(), StopRequest())
    holdout = json.loads(path.read_text())["holdout"]
    assert holdout["left_out_not_exhaustive"] == 3
    assert (holdout["positives"], holdout["negatives"]) == (len(present) - 1, len(absent) - 2)
    samples = json.loads((tmp_path / "gate" / "report.json").read_text())["champion"]["samples"]
    assert not {row["pair_id"] for row in samples} & {row["id"] for row in (present[0], absent[0], absent[1])}


def test_holdout_whose_negatives_are_all_open_is_refused(made: Snapshot, base_model: Path, tmp_path: Path) -> None:
    leave_open(*kinds(made, "holdout")[1])
    roles = {role: str(base_model) for role in ("champion", "challenger", "baseline")}
    with pytest.raises(Refused, match="without negatives"):
        run_gate(config(made, base_model, **roles), tmp_path / "gate", Ear(), StopRequest())


def test_evaluation_leaves_open_pairs_out_of_figures_and_predictions(
    made: Snapshot, base_model: Path, tmp_path: Path
) -> None:
    row = kinds(made, "holdout")[0][0]
    leave_open(row)
    wanted = config(made, base_model, model=str(base_model), keep_score=0.0)
    manifest = json.loads(run_evaluate(wanted, tmp_path / "out", Ear(), StopRequest()).read_text())
    assert manifest["left_out_not_exhaustive"] == 1
    assert manifest["pairs"] == len(made.document("holdout")["images"]) - 1
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert rows
    assert row["id"] not in {found["image_id"] for found in rows}


def test_split_without_any_exhaustive_pair_is_refused_by_name(made: Snapshot, base_model: Path, tmp_path: Path) -> None:
    leave_open(*made.document("holdout")["images"])
    wanted = config(made, base_model, model=str(base_model))
    with pytest.raises(Refused, match=r"No pair of holdout.json is marked as exhaustively annotated") as refused:
        run_evaluate(wanted, tmp_path / "out", Ear(), StopRequest())
    assert refused.value.code == "unjudgeable_split"
