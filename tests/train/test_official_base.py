"""From a checkpoint laid out as facebook/sam3 is: nothing of it is lost in a retrain, and its prompt is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers.models.sam3_video.modeling_sam3_video import Sam3VideoModel

from tests.backend.hub_checkpoint import write_hub_checkpoint
from tests.train.snapshots import Snapshot, tiny_model
from toolbox.weights_hash import weights_hash
from training.config import read_config
from training.errors import Refused, TrainingError
from training.events import Events
from training.launch import StopRequest
from training.runs import run_evaluate, run_train

SHORT = {"steps": 3, "batch_pairs": 4, "validate_every": 2, "checkpoint_every": 2, "learning_rate": 3e-3}
SHORT |= {"start_share": 0.0, "average": 0.0}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    made = Snapshot(root).add_scenes("train", "easy", 4).add_scenes("val", "easy", 2).add_scenes("holdout", "easy", 2)
    made.freeze()
    write_hub_checkpoint(root / "base")
    folders = {"snapshot": made.folder, "images": made.images, "base_model": root / "base", "features": root / "kept"}
    return {key: str(folder) for key, folder in folders.items()}


def train(world: dict[str, str], out: Path, events: Events | None = None, **changes: Any) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps({**world, **SHORT, **changes}))
    config = read_config("train", out / "config.json")
    return json.loads(run_train(config, out, events or Events([]), StopRequest()).read_text())


@pytest.fixture(scope="module")
def trained(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(world, out)
    return out


def tensors(folder: Path | str) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


def test_retrain_writes_every_key_of_its_base_and_leaves_what_it_does_not_hold(
    world: dict[str, str], trained: Path
) -> None:
    before, after = tensors(world["base_model"]), tensors(trained / "model")
    assert before.keys() == after.keys()
    memory = [key for key in before if key.startswith("tracker_")]
    assert any(key.startswith("tracker_model.memory_") for key in memory)
    assert all(torch.equal(before[key], after[key]) for key in memory)


def test_retrained_version_still_loads_as_the_video_model(trained: Path) -> None:
    _, info = Sam3VideoModel.from_pretrained(trained / "model", output_loading_info=True)
    assert not any(info.values())


def test_retrain_keeps_the_prompt_of_its_base_and_says_so(trained: Path) -> None:
    assert json.loads((trained / "model" / "config.json").read_text())["prompt_has_cls"] is True
    manifest = json.loads((trained / "manifest.json").read_text())
    assert manifest["prompt_has_cls"] is True
    assert manifest["weights_hash"] == weights_hash(trained / "model" / "model.safetensors")


def test_the_prompt_changes_what_is_learned(world: dict[str, str], tmp_path: Path) -> None:
    """From the same weights, asked with the token and without: the first step's loss differs."""
    losses = []
    for flag in (True, False):
        base = Path(shutil.copytree(world["base_model"], tmp_path / f"base-{flag}"))
        declared = json.loads((base / "config.json").read_text()) | {"prompt_has_cls": flag}
        (base / "config.json").write_text(json.dumps(declared))
        heard = Heard()
        train(world, tmp_path / f"run-{flag}", heard, base_model=str(base), steps=1, validate_every=1)
        losses.append(next(row["total"] for row in heard.rows if row["event"] == "loss"))
    assert abs(losses[0] - losses[1]) > 1e-3


def test_one_to_many_and_semantic_terms_are_told_and_change_what_is_learned(
    world: dict[str, str], tmp_path: Path
) -> None:
    moved = []
    for on in (False, True):
        heard = Heard()
        train(world, tmp_path / str(on), heard, one_to_many=on, semantic=on, steps=2)
        [loss] = [row for row in heard.rows if row["event"] == "loss"]
        assert ({"many", "semantic"} <= loss.keys()) is on
        state = load_file(max((tmp_path / str(on) / "checkpoints").glob("step-*.safetensors")))
        moved.append(state["weights|mask_decoder.semantic_projection.weight"])
    start = tensors(world["base_model"])["detector_model.mask_decoder.semantic_projection.weight"]
    assert [torch.equal(weight, start) for weight in moved] == [True, False]


class Heard(Events):
    def __init__(self) -> None:
        super().__init__([])
        self.rows: list[dict[str, Any]] = []
        self.listen(self.rows.append)


class BaseGoes(Heard):
    """The base model's folder is moved away as soon as the run has started to learn."""

    def __init__(self, base: Path) -> None:
        super().__init__()
        self._base = base

    def __call__(self, event: str, **fields: Any) -> None:
        super().__call__(event, **fields)
        if event == "loss" and self._base.exists():
            self._base.rename(self._base.with_name("away"))


def test_base_that_went_away_is_told_and_the_same_command_goes_on_once_it_is_back(
    world: dict[str, str], tmp_path: Path
) -> None:
    base, out = Path(shutil.copytree(world["base_model"], tmp_path / "base")), tmp_path / "run"
    with pytest.raises(TrainingError, match=r"Training is done, the model is not written: .*put it back") as told:
        train(world, out, BaseGoes(base), base_model=str(base))
    assert told.value.code == "lost_base"
    assert not (out / "model").exists()
    (tmp_path / "away").rename(base)
    heard = Heard()
    train(world, out, heard, base_model=str(base))
    assert tensors(out / "model").keys() == tensors(base).keys()
    assert not any(row["event"] == "loss" for row in heard.rows)


def evaluate(world: dict[str, str], out: Path, **changes: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    out.mkdir(parents=True, exist_ok=True)
    given = {key: world[key] for key in ("snapshot", "images", "features")} | {"model": world["base_model"]} | changes
    (out / "config.json").write_text(json.dumps(given))
    heard = Heard()
    path = run_evaluate(read_config("evaluate", out / "config.json"), out, heard, StopRequest())
    return json.loads(path.read_text()), [row for row in heard.rows if row["event"] == "prompt"]


def test_both_prompts_are_compared_and_each_is_what_it_is_alone(world: dict[str, str], tmp_path: Path) -> None:
    both, rows = evaluate(world, tmp_path / "both", prompt="both", model="mlbackend/weights/demo")
    assert [(row["prompt"], row["own"]) for row in rows] == [("with_cls", False), ("without_cls", True)]
    assert both["prompts"]["without_cls"]["cgf1"] > 0
    assert both["prompts"]["with_cls"] != both["prompts"]["without_cls"]
    for name in ("with_cls", "without_cls"):
        alone, _ = evaluate(world, tmp_path / name, prompt=name, model="mlbackend/weights/demo")
        assert both["prompts"][name]["cgf1"] == alone["summary"]["cgf1"]
        assert alone["prompt_has_cls"] is (name == "with_cls")


def test_unless_told_otherwise_a_model_is_asked_as_its_folder_says(world: dict[str, str], tmp_path: Path) -> None:
    for name in ("as_model", "with_cls", "without_cls"):
        evaluate(world, tmp_path / name, prompt=name, keep_score=0.0)
    own, with_it, without = (
        [row["presence"] for row in json.loads((tmp_path / name / "rows.json").read_text())]
        for name in ("as_model", "with_cls", "without_cls")
    )
    assert own == with_it
    assert own != without


def test_prompt_is_the_models_own_in_the_other_verbs(world: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(Refused, match="'prompt' is for `evaluate`"):
        train(world, tmp_path, prompt="with_cls")


def test_model_without_foreign_weights_can_lose_its_base_folder(world: dict[str, str], tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    assert train(world, tmp_path / "run", BaseGoes(base), base_model=str(base))["prompt_has_cls"] is False
