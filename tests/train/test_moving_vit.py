"""Training that moves the ViT: what moves, how fast, and that nothing of the old one is taken for the new one's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.train.snapshots import Snapshot, tiny_model
from tests.train.support import StopAfter, apart, learned
from toolbox.run_size import run_size
from training.config import Config, read_config
from training.dataset import Snapshot as Frozen
from training.errors import Refused, Stopped
from training.events import Events
from training.features import FeatureStore
from training.fit import Fit
from training.heads import VIT_PARTS, Average, build_optimiser, set_rate, trainable, use_training_mode
from training.launch import StopRequest
from training.learning import Learner
from training.models import Model, load_model
from training.moving import as_served, prepared, token_source
from training.pictures import MovingVit
from training.recompute import recompute_layers
from training.runs import run_train
from training.sampling import Batch, Sampler
from training.texts import Texts
from training.views import MIRRORED

CPU = torch.device("cpu")
WHOLE = Fit(micro_pairs=8)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    made = Snapshot(root).add_scenes("train", "easy", 6).add_scenes("val", "easy", 3).freeze()
    folders = {"snapshot": made.folder, "images": made.images, "base_model": tiny_model(root / "model")}
    return {key: str(folder) for key, folder in folders.items()} | {"features": str(root / "features")}


SHORT = {"model": "full", "steps": 4, "batch_pairs": 4, "validate_every": 2, "checkpoint_every": 2}


def config_of(world: dict[str, str], folder: Path, **changes: Any) -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    given = {**world, **SHORT, "learning_rate": 3e-3, **changes}
    (folder / "asked.json").write_text(json.dumps(given))
    return read_config("train", folder / "asked.json")


def train(world: dict[str, str], out: Path, **changes: Any) -> dict[str, Any]:
    return json.loads(run_train(config_of(world, out, **changes), out, Events([]), StopRequest()).read_text())


def newest(out: Path) -> dict[str, torch.Tensor]:
    return load_file(max((out / "checkpoints").glob("step-*.safetensors")))


def learner(world: dict[str, str], folder: Path, fit: Fit = WHOLE, *, dropout: float = 0.0, **changes: Any) -> Learner:
    config = config_of(world, folder, clip_norm=1e6, text_rate=0.0, **changes)
    model = load_model(world["base_model"], device=CPU)
    for module in model.network.detector.vision_encoder.backbone.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    features = token_source(config, model, folder, fit)
    parameters = prepared(model.network, config)
    if fit.recompute:
        recompute_layers(model.network)
    use_training_mode(model.network, True)
    texts = Texts(model, is_frozen=True)
    return Learner(config, fit, model, features, texts, parameters, build_optimiser(parameters, config))


def batch_of(world: dict[str, str]) -> Batch:
    return Sampler(Frozen(world["snapshot"]).split("train").trainable, seed=3, batch_pairs=8).batch(0)


def of_the_vit(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name.startswith(VIT_PARTS)}


def test_full_training_moves_every_part_of_the_vit_and_leaves_the_click_decoder(
    world: dict[str, str], tmp_path: Path
) -> None:
    train(world, tmp_path, validate_every=4)
    before, last = load_file(Path(world["base_model"]) / "model.safetensors"), newest(tmp_path)
    vit = [key for key in before if key.startswith("detector_model.vision_encoder.backbone.")]
    moved = [key for key in vit if not torch.equal(before[key], last["weights|" + key.removeprefix("detector_model.")])]
    assert vit
    assert moved == vit
    after = load_file(tmp_path / "model" / "model.safetensors")
    assert after.keys() == before.keys()
    clicks = [key for key in before if key.startswith("tracker")]
    assert all(torch.equal(before[key], after[key]) for key in clicks)
    size = run_size(Path(world["base_model"]), with_text=True, with_vit=True)
    written = (tmp_path / "checkpoints" / "step-00000004.safetensors").stat().st_size
    assert size.checkpoint_bytes == pytest.approx(written, rel=0.05)


def test_heads_alone_learn_from_a_moving_vit_s_tokens_as_from_cached_ones(
    world: dict[str, str], tmp_path: Path
) -> None:
    """The cache rounds to half precision; but for that a step's terms and the heads' gradients are the same."""
    batch = batch_of(world)
    terms, gradients = learned(learner(world, tmp_path / "heads", model="heads"), batch)
    got_terms, got = learned(learner(world, tmp_path / "full"), batch)
    assert got_terms == pytest.approx(terms, rel=1e-3)
    assert apart({name: got[name] for name in gradients}, gradients) < 2e-3
    assert len(of_the_vit(got)) > 0 == len(of_the_vit(gradients))


def test_gradient_of_the_vit_is_that_of_a_small_step_of_its_weights(world: dict[str, str], tmp_path: Path) -> None:
    """Central differences in float64 along a random direction: nothing of the backward pass is used."""
    one, batch = learner(world, tmp_path), batch_of(world)
    _, gradients = learned(one, batch)
    name = "vision_encoder.backbone.layers.0.mlp.fc1.weight"
    loaded = load_model(world["base_model"], device=CPU).network.detector.state_dict()
    one.model.network.detector.load_state_dict(loaded)
    direction = torch.randn(gradients[name].shape, generator=torch.Generator().manual_seed(1))
    one.optimiser.step = lambda *_: None  # type: ignore[method-assign,assignment]  # the weights are set here
    sums = []
    for side in (1, -1):
        with torch.no_grad():
            one.parameters[name].copy_(loaded[name] + side * 1e-2 * direction)
        torch.manual_seed(0)
        sums.append(one.learn(batch, 0)["total"])
    assert (sums[0] - sums[1]) / 2e-2 == pytest.approx(float((gradients[name] * direction).sum()), rel=0.05)


@pytest.mark.parametrize("micro_pairs", [8, 3])
def test_vit_blocks_that_forget_give_the_same_gradients_with_dropout(
    world: dict[str, str], tmp_path: Path, micro_pairs: int
) -> None:
    fit, batch = replace(WHOLE, micro_pairs=micro_pairs), batch_of(world)
    terms, gradients = learned(learner(world, tmp_path, fit, dropout=0.2), batch)
    got_terms, got = learned(learner(world, tmp_path, replace(fit, recompute=True), dropout=0.2), batch)
    assert got_terms == pytest.approx(terms, rel=1e-6)
    assert apart(got, gradients) <= 1e-6
    _, undropped = learned(learner(world, tmp_path, fit), batch)
    assert apart(undropped, gradients) > 1e-4


def test_vit_blocks_that_forget_leave_less_behind(world: dict[str, str], tmp_path: Path) -> None:
    """Beside the pixels themselves, which the patches' own weights need either way."""
    batch, left = batch_of(world), []
    pixels = 4 * 3 * 56 * 56 * len(batch.pairs)
    for recompute in (False, True):
        one, kept = learner(world, tmp_path, replace(WHOLE, recompute=recompute)), {}

        def keep(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            one.features.tokens([pair.image for pair in batch.pairs])
        left.append(sum(kept.values()) - pixels)
    assert left[1] < 0.5 * left[0]


def named(count: int) -> dict[str, nn.Parameter]:
    blocks = [f"vision_encoder.backbone.layers.{number}.mlp.fc1.weight" for number in range(count)]
    others = ["embeddings.patch_embeddings.projection.weight", "embeddings.position_embeddings", "layer_norm.weight"]
    names = [*blocks, *(f"vision_encoder.backbone.{other}" for other in others), "detr_decoder.w"]
    return {name: nn.Parameter(torch.zeros(2, 2)) for name in names}


def test_each_block_of_the_vit_learns_more_slowly_than_the_one_above() -> None:
    """By hand, of three blocks at 8e-5 x 0.3125 = 2.5e-5 and a decay of 0.9: 0.9, 0.81, 0.729, below them 0.6561."""
    config = read_config("train", None, ["snapshot=s", "images=i", "base_model=b", "recipe=sam3_full"])
    parameters = named(3)
    optimiser = build_optimiser(parameters, config)
    set_rate(optimiser, config, config.warmup)
    rate_of = {id(one): group["lr"] for group in optimiser.param_groups for one in group["params"]}
    rates = {name.removeprefix("vision_encoder.backbone."): rate_of[id(one)] for name, one in parameters.items()}
    assert rates == pytest.approx(
        {
            "layers.2.mlp.fc1.weight": 2.25e-5,
            "layers.1.mlp.fc1.weight": 2.025e-5,
            "layers.0.mlp.fc1.weight": 1.8225e-5,
            "layer_norm.weight": 1.64025e-5,
            "embeddings.patch_embeddings.projection.weight": 1.64025e-5,
            "embeddings.position_embeddings": 2.5e-5,
            "detr_decoder.w": 8e-5,
        }
    )


def test_full_run_trains_all_of_the_vit_beside_what_heads_train(world: dict[str, str], tmp_path: Path) -> None:
    network = load_model(world["base_model"], device=CPU).network
    vit = sum(parameter.numel() for parameter in network.detector.vision_encoder.backbone.parameters())
    counts = {
        model: sum(one.numel() for one in prepared(network, config_of(world, tmp_path, model=model)).values())
        for model in ("heads", "full")
    }
    assert counts["heads"] == sum(one.numel() for one in trainable(network).values())
    assert counts["full"] == counts["heads"] + vit


def test_full_run_that_was_stopped_ends_in_the_same_weights(world: dict[str, str], tmp_path: Path) -> None:
    whole, parts, stop = tmp_path / "whole", tmp_path / "parts", StopRequest()
    first = train(world, whole)
    with pytest.raises(Stopped):
        run_train(config_of(world, parts), parts, StopAfter(stop), stop)
    second = train(world, parts)
    expected, got = newest(whole), newest(parts)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert first["weights_hash"] == second["weights_hash"]


def test_version_with_a_moved_vit_has_a_backbone_hash_of_its_own(world: dict[str, str], tmp_path: Path) -> None:
    base = load_model(world["base_model"], device=CPU)
    moved = moved_model(load_model(world["base_model"], device=CPU), tmp_path / "moved")
    assert moved.backbone_hash != base.backbone_hash
    stale = replace(moved, backbone_hash=base.backbone_hash)  # as a trainer has it that loaded the base and moved it
    assert as_served(stale, config_of(world, tmp_path)).backbone_hash == moved.backbone_hash
    assert as_served(stale, config_of(world, tmp_path, model="heads")).backbone_hash == base.backbone_hash
    manifest = train(world, tmp_path / "run")
    written = load_model(manifest["model"], device=CPU)
    assert manifest["backbone_hash"] == written.backbone_hash == written.manifest["backbone_hash"]
    assert manifest["weights_hash"] == written.network.weights_hash()


def moved_model(base: Model, folder: Path) -> Model:
    with torch.no_grad():
        base.network.detector.vision_encoder.backbone.layers[0].mlp.fc2.bias.add_(0.1)
    base.network.save(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base.folder / name).read_bytes())
    return load_model(folder, device=CPU)


def test_features_of_the_old_vit_are_never_taken_for_those_of_the_moved_one(
    world: dict[str, str], tmp_path: Path
) -> None:
    """Champion and challenger share the gate's folder: each finds its own features there, and no other's."""
    image = Frozen(world["snapshot"]).split("val").pairs[0].image
    old = load_model(world["base_model"], device=CPU)
    first = FeatureStore(old, world["images"], tmp_path / "features").tokens([image])
    new = moved_model(load_model(world["base_model"], device=CPU), tmp_path / "moved")
    store = FeatureStore(new, world["images"], tmp_path / "features")
    store.prepare([image])
    assert store.encoded == 1
    assert not torch.equal(store.tokens([image]), first)
    again = FeatureStore(old, world["images"], tmp_path / "features")
    assert torch.equal(again.tokens([image]), first)
    assert again.encoded == 0


def test_full_run_leaves_no_features_behind(world: dict[str, str], tmp_path: Path) -> None:
    train(world, tmp_path / "run", features=str(tmp_path / "features"))
    assert not (tmp_path / "features").exists()


def store(world: dict[str, str], **changes: Any) -> MovingVit:
    model = load_model(world["base_model"], device=CPU)
    asked = {"memory_mib": 64, "max_pixels": 100_000_000, "encode_images": 2} | changes
    return MovingVit(model, world["images"], **asked)


def test_tokens_are_those_of_the_weights_as_they_are(world: dict[str, str]) -> None:
    images = sorted({pair.image for pair in Frozen(world["snapshot"]).split("train").pairs})[:5]
    one = store(world)
    one.prepare(images)
    cached = FeatureStore(one.model, world["images"], Path(world["features"])).tokens(images)
    with torch.no_grad():
        before = one.tokens(images)
        assert torch.allclose(before, cached, atol=2e-3)  # which rounds to half precision
        one.model.network.detector.vision_encoder.backbone.layers[0].mlp.fc2.bias.add_(1.0)
        after = one.tokens(images)
    assert torch.allclose(after - before, torch.ones(()), atol=1e-5)


def test_mirrored_tokens_are_those_of_the_mirrored_picture(world: dict[str, str], tmp_path: Path) -> None:
    image = Frozen(world["snapshot"]).split("train").pairs[0].image
    one = store(world)
    cached = FeatureStore(one.model, world["images"], tmp_path).tokens([image], [MIRRORED])
    with torch.no_grad():
        assert torch.allclose(one.tokens([image], [MIRRORED]), cached, atol=2e-2)
        assert not torch.allclose(one.tokens([image]), cached, atol=2e-2)


def test_next_step_s_pictures_are_read_meanwhile_and_held_within_the_budget(world: dict[str, str]) -> None:
    images = sorted({pair.image for pair in Frozen(world["snapshot"]).split("train").pairs})[:3]
    one, none = store(world), store(world, memory_mib=0)
    one.read_ahead(images)
    with torch.no_grad():
        ahead = one.tokens(images)
        assert torch.equal(ahead, none.tokens(images))
    assert one.size_px(images[0]) == none.size_px(images[0])
    assert (len(one._held), len(none._held)) == (3, 0)


def test_picture_that_cannot_be_read_is_refused_before_the_first_step(world: dict[str, str], tmp_path: Path) -> None:
    made = Snapshot(tmp_path).add_scenes("train", "easy", 3).add_scenes("val", "easy", 2).freeze()
    broken = next(made.images.glob("??/*"))
    broken.write_bytes(b"no picture")
    changed = world | {"snapshot": str(made.folder), "images": str(made.images)}
    with pytest.raises(Refused, match=f"Image {broken.name} cannot be decoded"):
        train(changed, tmp_path / "run")


def test_average_keeps_one_copy_of_what_learns_and_none_of_the_rest(world: dict[str, str], tmp_path: Path) -> None:
    network = load_model(world["base_model"], device=CPU).network
    parameters = prepared(network, config_of(world, tmp_path))
    average = Average(parameters, decay=0.98)
    assert average.weights.keys() == parameters.keys()
    frozen = {name for name, one in network.detector.named_parameters() if not one.requires_grad}
    assert frozen
    assert not frozen & average.weights.keys()
