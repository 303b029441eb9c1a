"""Adapters in the ViT: what learns, that merging them changes no answer, and that the result is a plain model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers.models.sam3.modeling_sam3 import Sam3Model

from tests.train.snapshots import Snapshot, tiny_model
from tests.train.support import StopAfter
from toolbox.run_size import run_size
from training.adapters import ADAPTED, ADAPTER, adapters, merge_adapters
from training.config import Config, read_config
from training.errors import Refused, Stopped
from training.events import Events
from training.launch import StopRequest
from training.models import load_model
from training.moving import prepared
from training.runs import run_train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    made = Snapshot(root).add_scenes("train", "easy", 6).add_scenes("val", "easy", 3).freeze()
    folders = {"snapshot": made.folder, "images": made.images, "base_model": tiny_model(root / "model")}
    return {key: str(folder) for key, folder in folders.items()}


def config_of(world: dict[str, str], folder: Path, **changes: Any) -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    given = {**world, "model": "lora", "steps": 4, "batch_pairs": 4, "validate_every": 2, "checkpoint_every": 2}
    (folder / "asked.json").write_text(json.dumps(given | {"learning_rate": 3e-3, "text_rate": 0.0} | changes))
    return read_config("train", folder / "asked.json")


def newest(out: Path) -> dict[str, torch.Tensor]:
    return load_file(max((out / "checkpoints").glob("step-*.safetensors")))


def test_merged_adapters_answer_as_they_did_beside_the_weights(world: dict[str, str], tmp_path: Path) -> None:
    network = load_model(world["base_model"], device=CPU).network
    plain_keys = set(network.hub_state())
    pixels = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        base = network.encode(pixels)
        prepared(network, config_of(world, tmp_path, lora_targets="vit_detr"))
        assert torch.equal(network.encode(pixels), base)  # B is 0 at first
        for name, parameter in adapters(network).items():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))) * 0.05)
        beside = network.encode(pixels)
        merge_adapters(network)
        merged = network.encode(pixels)
    assert float((beside - base).abs().max()) > 1e-2
    assert float((merged - beside).abs().max()) <= 1e-5
    assert set(network.hub_state()) == plain_keys


def test_merged_weight_is_the_old_one_and_alpha_over_rank_times_the_product(
    world: dict[str, str], tmp_path: Path
) -> None:
    network = load_model(world["base_model"], device=CPU).network
    key = "vision_encoder.backbone.layers.0.attention.q_proj"
    before = network.detector.get_submodule(key).weight.detach().clone()
    prepared(network, config_of(world, tmp_path, lora_rank=4, lora_alpha=6.0))
    a, b = (dict(adapters(network))[f"{key}.lora_{part}.default.weight"] for part in "AB")
    with torch.no_grad():
        b.copy_(torch.randn(b.shape, generator=torch.Generator().manual_seed(0)))
        merge_adapters(network)
    assert (tuple(a.shape), tuple(b.shape)) == ((4, 32), (32, 4))
    want = before.double() + 1.5 * b.detach().double() @ a.detach().double()
    assert torch.allclose(network.detector.get_submodule(key).weight.double(), want, atol=1e-6)


@pytest.mark.parametrize(("targets", "projections"), [("vit", 4), ("vit_detr", 4 + 8 + 24)])
def test_adapters_of_the_projections_learn_and_the_projections_themselves_do_not(
    world: dict[str, str], tmp_path: Path, targets: str, projections: int
) -> None:
    """The tiny model: one ViT layer with one attention, an encoder layer with two, two decoder layers with three, of
    four projections each; an adapter of rank 4 on 32 x 32 has 4 x (32 + 32) = 256 numbers."""
    network = load_model(world["base_model"], device=CPU).network
    heads = prepared(network, config_of(world, tmp_path, model="heads"))
    parameters = prepared(network, config_of(world, tmp_path, lora_rank=4, lora_targets=targets))
    added = {name: one for name, one in parameters.items() if ADAPTER in name}
    assert sum(one.numel() for one in added.values()) == 256 * projections
    assert not any(ADAPTED in name for name in parameters)
    of_detr = 0 if targets == "vit" else (projections - 4) * (32 * 32 + 32)
    rest = sum(one.numel() for name, one in parameters.items() if ADAPTER not in name)
    assert rest == sum(one.numel() for one in heads.values()) - of_detr
    learns = {name for name, one in network.detector.named_parameters() if one.requires_grad}
    assert learns == set(parameters)


def test_run_with_adapters_leaves_a_plain_model_and_resumes_to_the_bit(world: dict[str, str], tmp_path: Path) -> None:
    whole, parts, stop = tmp_path / "whole", tmp_path / "parts", StopRequest()
    first = json.loads(run_train(config_of(world, whole), whole, Events([]), StopRequest()).read_text())
    with pytest.raises(Stopped):
        run_train(config_of(world, parts), parts, StopAfter(stop), stop)
    second = json.loads(run_train(config_of(world, parts), parts, Events([]), StopRequest()).read_text())
    expected, got = newest(whole), newest(parts)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert first["weights_hash"] == second["weights_hash"]
    assert {name for name in expected if "vision_encoder.backbone" in name and ADAPTER not in name} == set()
    base = load_file(Path(world["base_model"]) / "model.safetensors")
    assert load_file(whole / "model" / "model.safetensors").keys() == base.keys()
    size = run_size(Path(world["base_model"]), with_text=False, adapter_rank=8)
    taken = (whole / "checkpoints" / "step-00000004.safetensors").stat().st_size
    assert size.checkpoint_bytes == pytest.approx(taken, rel=0.05)
    written = load_model(first["model"], device=CPU)
    assert first["backbone_hash"] == written.backbone_hash
    assert first["click_check"].keys() == {"objects", "before", "after"}


def test_model_with_merged_adapters_is_loaded_by_transformers_own_class(world: dict[str, str], tmp_path: Path) -> None:
    network = load_model(world["base_model"], device=CPU).network
    prepared(network, config_of(world, tmp_path))
    with torch.no_grad():
        for parameter in adapters(network).values():
            parameter.add_(0.1)
    merge_adapters(network)
    network.save(tmp_path / "merged")
    loaded, told = Sam3Model.from_pretrained(
        tmp_path / "merged",
        config=network.detector.config,
        output_loading_info=True,
        key_mapping={"^detector_model.": ""},
    )
    assert not told["missing_keys"]
    key = "vision_encoder.backbone.layers.0.attention.v_proj.weight"
    assert torch.equal(loaded.state_dict()[key], network.detector.state_dict()[key])


def test_seed_alone_decides_how_adapters_begin(world: dict[str, str], tmp_path: Path) -> None:
    drawn = []
    for seed, noise in ((3, 1), (3, 2), (4, 2)):
        torch.manual_seed(noise)
        network = load_model(world["base_model"], device=CPU).network
        prepared(network, config_of(world, tmp_path, seed=seed))
        drawn.append(torch.cat([one.flatten() for one in adapters(network).values()]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[1], drawn[2])


def test_lora_without_its_package_is_refused_before_anything_is_read(
    world: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(Refused, match="needs the package peft: pip install -r requirements-extras") as told:
        run_train(config_of(world, tmp_path), tmp_path, Events([]), StopRequest())
    assert told.value.code == "absent_package"
