"""Nothing of a checkpoint is lost: what the image network does not hold travels through load and save, bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.sam3.modeling_sam3 import Sam3Model
from transformers.models.sam3_tracker.modeling_sam3_tracker import Sam3TrackerModel
from transformers.models.sam3_video.modeling_sam3_video import Sam3VideoModel

from mlbackend.model.checkpoint import WeightsError
from mlbackend.model.network import Sam3Network
from tests.backend.hub_checkpoint import write_hub_checkpoint
from toolbox.weights_hash import weights_hash

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hub_checkpoint(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def written(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hub's folder, loaded, one head moved, and saved."""
    network = Sam3Network.load(hub)
    network.detector.detr_decoder.presence_head.layer3.bias.data += 1
    network.save(folder := tmp_path_factory.mktemp("written"))
    return folder


@pytest.fixture
def copy(hub: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(hub, tmp_path / "base"))


def same_bits(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return ours.dtype == theirs.dtype and torch.equal(ours.view(torch.uint8), theirs.view(torch.uint8))


def test_every_key_of_the_hub_is_written_again_and_only_the_moved_one_differs(hub: Path, written: Path) -> None:
    before, after = load_file(hub / WEIGHTS), load_file(written / WEIGHTS)
    assert before.keys() == after.keys()
    assert [key for key in before if not same_bits(before[key], after[key])] == [
        "detector_model.detr_decoder.presence_head.layer3.bias"
    ]


def test_the_video_models_memory_is_among_them(written: Path) -> None:
    foreign = [
        key
        for key in load_file(written / WEIGHTS)
        if key.startswith(("tracker_model.memory_", "tracker_neck.fpn_layers.3"))
    ]
    assert len(foreign) > 30


@pytest.mark.parametrize("model", [Sam3Model, Sam3TrackerModel, Sam3VideoModel])
def test_what_is_written_loads_as(model: Any, written: Path) -> None:
    _, info = model.from_pretrained(written, output_loading_info=True)
    assert {name: list(keys) for name, keys in info.items() if keys} == {}


def test_memory_has_the_sizes_of_its_own_config(written: Path) -> None:
    assert Sam3VideoModel.from_pretrained(written).config.tracker_config.memory_attention_feed_forward_hidden_size == 32


def test_half_precision_memory_stays_so_and_config_tells_the_type_of_the_rest(copy: Path, tmp_path: Path) -> None:
    edit(copy, lambda tensors: tensors.update({key: value.bfloat16() for key, value in tensors.items()}))
    declared = json.loads((copy / "config.json").read_text()) | {"dtype": "bfloat16"}
    (copy / "config.json").write_text(json.dumps(declared))
    Sam3Network.load(copy).save(tmp_path / "out")
    before, after = load_file(copy / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    memory = [key for key in before if key.startswith("tracker_model.memory_")]
    assert memory
    assert all(same_bits(before[key], after[key]) for key in memory)
    assert after["detector_model.detr_decoder.query_embed.weight"].dtype == torch.float32
    assert Sam3Model.from_pretrained(tmp_path / "out").dtype == torch.float32


def test_hash_is_that_of_the_file(hub: Path, written: Path) -> None:
    assert Sam3Network.load(hub).weights_hash() == weights_hash(hub / WEIGHTS)
    assert Sam3Network.load(written).weights_hash() == weights_hash(written / WEIGHTS)


def test_shards_lose_nothing_either(hub: Path, tmp_path: Path) -> None:
    tensors, sharded = load_file(hub / WEIGHTS), tmp_path / "sharded"
    sharded.mkdir()
    files = {key: f"part-{number % 2}.safetensors" for number, key in enumerate(sorted(tensors))}
    for file in set(files.values()):
        save_file({key: tensors[key] for key in files if files[key] == file}, sharded / file, metadata={"format": "pt"})
    (sharded / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    shutil.copyfile(hub / "config.json", sharded / "config.json")
    Sam3Network.load(sharded).save(tmp_path / "out")
    assert weights_hash(tmp_path / "out" / WEIGHTS) == weights_hash(hub / WEIGHTS)


def test_saving_over_its_own_folder_loses_nothing(copy: Path) -> None:
    before = weights_hash(copy / WEIGHTS)
    Sam3Network.load(copy).save(copy)
    assert weights_hash(copy / WEIGHTS) == before


def test_foreign_weights_are_not_held(hub: Path) -> None:
    network = Sam3Network.load(hub)
    assert not any(name.startswith("tracker.memory_") for name, _ in network.named_parameters())
    assert network.foreign is not None
    assert not any(isinstance(value, torch.Tensor) for value in vars(network.foreign).values())


def test_base_folder_that_went_away_is_named_and_nothing_is_written(copy: Path, tmp_path: Path) -> None:
    network = Sam3Network.load(copy)
    shutil.rmtree(copy)
    with pytest.raises(WeightsError, match=r"base model's folder .*base is gone or damaged .* put it back"):
        network.save(tmp_path / "out")
    assert not (tmp_path / "out" / WEIGHTS).exists()


def test_base_folder_that_was_changed_meanwhile_is_refused(copy: Path, tmp_path: Path) -> None:
    network = Sam3Network.load(copy)
    edit(copy, lambda tensors: tensors["tracker_model.no_object_pointer"].add_(1))
    with pytest.raises(WeightsError, match="was changed since it was loaded"):
        network.save(tmp_path / "out")


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = {key: value.clone() for key, value in load_file(folder / WEIGHTS).items()}
    change(tensors)
    save_file(tensors, folder / "edited", metadata={"format": "pt"})
    (folder / "edited").replace(folder / WEIGHTS)
