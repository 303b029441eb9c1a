"""Retraining: what moves, what does not, and that stopping changes nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.train.snapshots import Snapshot, tiny_model
from tests.train.support import StopAfter
from toolbox.run_size import run_size
from toolbox.weights_hash import folder_weights_hash
from training.config import Config, read_config
from training.errors import Refused, Stopped
from training.events import Events
from training.launch import StopRequest
from training.runs import run_train


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    made = Snapshot(root).add_scenes("train", "easy", 6).add_scenes("train", "hard", 3, round=1)
    made.add_scenes("val", "easy", 3).freeze()
    model = tiny_model(root / "model")
    (model / "manifest.json").write_text(json.dumps({"taught_words": ["chicken"]}))
    folders = {"snapshot": made.folder, "images": made.images, "base_model": model, "features": root / "features"}
    return {key: str(folder) for key, folder in folders.items()}


def config(world: dict[str, str], folder: Path, **changes: Any) -> Config:
    given = {**world, "steps": 8, "batch_pairs": 4, "validate_every": 3, "checkpoint_every": 2, "learning_rate": 3e-3}
    path = folder / "config.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(given | changes))
    return read_config("train", path)


def train(world: dict[str, str], out: Path, **changes: Any) -> dict[str, Any]:
    manifest = run_train(config(world, out, **changes), out, Events([]), StopRequest())
    return json.loads(manifest.read_text())


def last_weights(out: Path) -> dict[str, torch.Tensor]:
    newest = max((out / "checkpoints").glob("step-*.safetensors"))
    return load_file(newest)


def test_stopped_and_resumed_run_ends_in_the_same_weights(world: dict[str, str], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    first = train(world, whole)
    for step in (2, 6):
        stop = StopRequest()
        with pytest.raises(Stopped):
            run_train(config(world, parts), parts, StopAfter(stop, step), stop)
    second = train(world, parts)
    expected, got = last_weights(whole), last_weights(parts)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert first["weights_hash"] == second["weights_hash"]
    assert first["metrics"] == second["metrics"]


def test_same_seed_gives_the_same_model_and_another_seed_another(world: dict[str, str], tmp_path: Path) -> None:
    weights = []
    for number, seed in enumerate((1, 1, 2)):
        train(world, tmp_path / str(number), seed=seed)
        weights.append(last_weights(tmp_path / str(number)))
    same = [all(torch.equal(weights[0][key], other[key]) for key in weights[0]) for other in weights[1:]]
    assert same == [True, False]


def test_checked_out_version_with_named_images_gives_the_same_weights(world: dict[str, str], tmp_path: Path) -> None:
    """A data version that DVC brought: the same documents elsewhere, the images under their hash with an ending."""
    shutil.copytree(world["snapshot"], tmp_path / "snapshot")
    for image in Path(world["images"]).glob("??/*"):
        target = tmp_path / "images" / image.parent.name / f"{image.name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, target)
    elsewhere = world | {name: str(tmp_path / name) for name in ("snapshot", "images", "features")}
    assert train(world, tmp_path / "here")["weights_hash"] == train(elsewhere, tmp_path / "there")["weights_hash"]


def test_backbone_and_click_decoder_do_not_move_and_the_heads_do(world: dict[str, str], tmp_path: Path) -> None:
    train(world, tmp_path / "run", validate_every=8)
    moved = {key.split("|")[1] for key in last_weights(tmp_path / "run") if key.startswith("weights|")}
    assert not any(name.startswith("vision_encoder.backbone") for name in moved)
    before = load_file(Path(world["base_model"]) / "model.safetensors")
    after = load_file(tmp_path / "run" / "model" / "model.safetensors")
    trained = last_weights(tmp_path / "run")
    parts = ("vision_encoder.neck", "text_encoder", "text_projection", "detr_encoder", "detr_decoder", "mask_decoder")
    for part in parts:
        names = [name for name in moved if name.startswith(part)]
        assert any(not torch.equal(trained[f"weights|{name}"], before[f"detector_model.{name}"]) for name in names), (
            part
        )
    frozen = [key for key in before if key.startswith(("tracker", "detector_model.vision_encoder.backbone"))]
    assert frozen
    assert all(torch.equal(before[key], after[key]) for key in frozen)


def test_trained_version_is_complete_and_says_what_it_was_taught(world: dict[str, str], tmp_path: Path) -> None:
    from training.models import load_model

    manifest = train(world, tmp_path / "run")
    model = load_model(manifest["model"], device=torch.device("cpu"))
    assert model.network.weights_hash() == manifest["weights_hash"] == model.manifest["weights_hash"]
    assert model.backbone_hash == manifest["backbone_hash"] == model.manifest["backbone_hash"]
    assert "chicken" in model.manifest["taught_words"]
    assert len(model.manifest["taught_words"]) > 1


def test_finished_run_started_again_changes_nothing(world: dict[str, str], tmp_path: Path) -> None:
    first, second = (train(world, tmp_path / "run") for _ in range(2))
    assert first["weights_hash"] == second["weights_hash"]
    assert first["metrics"] == second["metrics"]


def test_folder_of_another_run_is_refused(world: dict[str, str], tmp_path: Path) -> None:
    train(world, tmp_path / "run")
    with pytest.raises(Refused, match="another"):
        train(world, tmp_path / "run", learning_rate=1e-5)
    assert train(world, tmp_path / "run", learning_rate=1e-5, resume=False)["steps"] == 8


def test_best_checkpoint_is_never_worse_than_where_it_started(world: dict[str, str], tmp_path: Path) -> None:
    metrics = train(world, tmp_path / "run", learning_rate=0.5, clip_norm=1e6)["metrics"]
    scores = [row["cgf1"] for row in metrics["validations"]]
    assert metrics["val"]["cgf1"] == max(scores) >= scores[0]


def test_patience_ends_a_run_that_does_not_improve(world: dict[str, str], tmp_path: Path) -> None:
    assert train(world, tmp_path / "run", steps=50, patience=2, validate_every=2, learning_rate=1e-8)["steps"] < 10


def test_one_sided_validation_split_is_stood_in_for(world: dict[str, str], tmp_path: Path) -> None:
    made = Snapshot(tmp_path).add_scenes("train", "easy", 40).freeze()
    heard: list[dict[str, Any]] = []
    events = Events([])
    events.listen(heard.append)
    changed = world | {"snapshot": str(made.folder), "images": str(made.images)}
    out = tmp_path / "run"
    manifest = json.loads(run_train(config(changed, out), out, events, StopRequest()).read_text())
    assert "val_stand_in" in [event["code"] for event in heard if event["event"] == "warning"]
    assert manifest["pairs"]["val"] > 0
    assert manifest["pairs"]["val"] + manifest["pairs"]["train"] == len(made.document("train")["images"])


def test_snapshot_without_negatives_is_refused(world: dict[str, str], tmp_path: Path) -> None:
    made = Snapshot(tmp_path).add_scenes("train", "easy", 4, negatives=0).freeze()
    changed = world | {"snapshot": str(made.folder), "images": str(made.images)}
    with pytest.raises(Refused, match="without negatives"):
        train(changed, tmp_path / "run")


def test_pair_that_lies_about_its_image_is_refused(world: dict[str, str], tmp_path: Path) -> None:
    made = Snapshot(tmp_path).add_scenes("train", "easy", 3).add_scenes("val", "easy", 2)
    annotated = {row["image_id"] for row in made.document("train")["annotations"]}
    negative = next(row for row in made.document("train")["images"] if row["id"] not in annotated)
    negative.update(width=448)
    with pytest.raises(Refused, match=f"Pair {negative['id']} says 448 x 224 px"):
        train(world | {"snapshot": str(made.freeze().folder), "images": str(made.images)}, tmp_path / "run")


@pytest.mark.parametrize("text_rate", [0.0, 0.3])
def test_room_that_a_run_asks_for_is_what_its_checkpoints_take(
    world: dict[str, str], tmp_path: Path, text_rate: float
) -> None:
    """Known from the base model's headers alone; what has no gradient has no moments, and files have headers."""
    train(world, tmp_path, steps=2, validate_every=2, text_rate=text_rate)
    size = run_size(Path(world["base_model"]), with_text=text_rate > 0)
    written = (tmp_path / "checkpoints" / "step-00000002.safetensors").stat().st_size
    best = (tmp_path / "checkpoints" / "best.safetensors").stat().st_size
    model = (tmp_path / "model" / "model.safetensors").stat().st_size
    assert size.checkpoint_bytes == pytest.approx(written, rel=0.05)
    assert size.best_bytes == pytest.approx(best, abs=60_000)
    assert size.model_bytes == pytest.approx(model, abs=1000)


def test_run_without_room_is_refused_before_anything_is_encoded(
    world: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    features = tmp_path / "features"
    with pytest.raises(Refused, match=r"take .* MB of disk, 1 MB are free .*: .* MB are missing") as refused:
        train(world, tmp_path / "out", features=str(features))
    assert (refused.value.code, features.exists()) == ("disk_full", False)


def test_version_names_the_weights_code_and_packages_that_it_was_made_from(
    world: dict[str, str], tmp_path: Path
) -> None:
    """The base has no hash in its manifest, as the shipped model: that is computed, and not null."""
    manifest = train(world, tmp_path, steps=2, validate_every=2)
    kept = json.loads((tmp_path / "model" / "manifest.json").read_text())
    base = folder_weights_hash(Path(world["base_model"]))
    assert manifest["base_weights_hash"] == kept["trained_from"] == base
    assert manifest["packages"] == kept["packages"]
    assert kept["packages"]["torch"] == torch.__version__
    assert len(manifest["code_hash"]) == 64
