"""A batch learned in parts, with layers that forget, on a frozen text tower: the same gradients as in one go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.train.snapshots import Snapshot, tiny_model
from tests.train.support import apart, learned
from training.config import Config
from training.dataset import Snapshot as Frozen
from training.features import FeatureStore
from training.fit import Fit
from training.heads import TEXT_PARTS, build_optimiser, trainable, use_training_mode
from training.learning import Learner, cut
from training.models import Model, load_model
from training.precision import Precision, choose_precision
from training.recompute import recompute_layers
from training.sampling import Batch, Sampler
from training.texts import Texts

CPU = torch.device("cpu")
WHOLE = Fit(micro_pairs=16)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    made = Snapshot(root).add_scenes("train", "easy", 10).freeze()
    return {"snapshot": made.folder, "images": made.images, "model": tiny_model(root / "model"), "root": root}


def learner(world: dict[str, Path], fit: Fit, *, text_rate: float = 0.3, dropout: float = 0.0) -> Learner:
    config = Config(snapshot="", images="", text_rate=text_rate, clip_norm=1e6)
    model = load_model(world["model"], device=CPU)
    for module in model.network.detector.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    features = FeatureStore(model, world["images"], world["root"] / "features")
    parameters = trainable(model.network, with_text=text_rate > 0)
    texts = Texts(model, is_frozen=text_rate == 0)
    if fit.recompute:
        recompute_layers(model.network)
    use_training_mode(model.network, True)
    return Learner(config, fit, model, features, texts, parameters, build_optimiser(parameters, config))


def batch_of(world: dict[str, Path]) -> Batch:
    return Sampler(Frozen(world["snapshot"]).split("train").trainable, seed=3, batch_pairs=16).batch(0)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("micro_pairs", [4, 5, 1])
def test_four_times_four_pairs_are_sixteen(world: dict[str, Path], micro_pairs: int, recompute: bool) -> None:
    batch = batch_of(world)
    terms, gradients = learned(learner(world, WHOLE), batch)
    got_terms, got = learned(learner(world, Fit(micro_pairs=micro_pairs, recompute=recompute)), batch)
    assert terms["mask"] > 0
    assert terms["blend"] > 0
    assert got_terms == pytest.approx(terms, rel=1e-5)
    assert apart(got, gradients) <= 1e-5


def test_layers_that_forget_give_the_same_gradients_with_dropout(world: dict[str, Path]) -> None:
    batch = batch_of(world)
    terms, gradients = learned(learner(world, WHOLE, dropout=0.2), batch)
    got_terms, got = learned(learner(world, replace(WHOLE, recompute=True), dropout=0.2), batch)
    assert got_terms == pytest.approx(terms, rel=1e-6)
    assert apart(got, gradients) <= 1e-6
    _, undropped = learned(learner(world, WHOLE), batch)
    assert apart(undropped, gradients) > 1e-3


def saved_bytes(one: Learner, batch: Batch) -> int:
    """What the forward pass leaves behind for the backward pass, each storage once."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        one.learn(batch, 0)
    return sum(kept.values())


def test_layers_that_forget_leave_less_behind(world: dict[str, Path]) -> None:
    batch = batch_of(world)
    plain, forgetting = (saved_bytes(learner(world, replace(WHOLE, recompute=way)), batch) for way in (False, True))
    assert forgetting < 0.6 * plain


def test_forgetting_layers_answer_as_before_when_they_are_judged(world: dict[str, Path]) -> None:
    from training.evaluate import predict

    pairs = Frozen(world["snapshot"]).split("train").pairs[:4]
    answers = []
    for fit in (WHOLE, replace(WHOLE, recompute=True)):
        one = learner(world, fit)
        use_training_mode(one.model.network, False)
        found = list(predict(one.model, one.features, pairs, keep_score=0.0))
        answers.append([(p.presence, [f.score for f in p.instances]) for p in found])
    assert answers[0] == answers[1]


def test_masks_are_dealt_out_over_the_parts_and_nothing_is_lost(world: dict[str, Path]) -> None:
    batch = batch_of(world)
    parts = cut(batch, [], mask_pairs=4, micro_pairs=4)
    assert [len(part.pairs) for part in parts] == [4, 4, 4, 4]
    assert [len(part.mask_rows) for part in parts] == [1, 1, 1, 1]
    assert sorted(pair.id for part in parts for pair in part.pairs) == sorted(pair.id for pair in batch.pairs)


def test_frozen_text_tower_has_no_gradient_no_moments_and_does_not_move(world: dict[str, Path]) -> None:
    batch, frozen = batch_of(world), learner(world, WHOLE, text_rate=0.0)
    before = {name: value.clone() for name, value in frozen.model.network.detector.state_dict().items()}
    learned(frozen, batch)
    after = frozen.model.network.detector.state_dict()
    text = [name for name in before if name.startswith(TEXT_PARTS)]
    assert text
    assert all(torch.equal(before[name], after[name]) for name in text)
    assert not any(name.startswith(TEXT_PARTS) for name in frozen.parameters)
    moving = {id(p) for group in frozen.optimiser.param_groups for p in group["params"]}
    assert moving == {id(p) for p in frozen.parameters.values()}
    assert any(not torch.equal(before[name], after[name]) for name in before if name not in text)


def test_kept_text_features_give_the_gradients_that_reading_them_at_each_step_gives(world: dict[str, Path]) -> None:
    batch = batch_of(world)
    terms, gradients = learned(learner(world, WHOLE), batch)
    got_terms, got = learned(learner(world, WHOLE, text_rate=0.0), batch)
    rest = {name: gradient for name, gradient in gradients.items() if not name.startswith(TEXT_PARTS)}
    assert got_terms == pytest.approx(terms, rel=1e-6)
    assert apart(got, rest) <= 1e-6


def counted(model: Model) -> list[int]:
    """How many phrases the text tower is asked to read, call by call."""
    asked: list[int] = []
    model.network.detector.text_encoder.register_forward_hook(
        lambda _module, _arguments, answer: asked.append(len(answer.last_hidden_state))
    )
    return asked


def test_frozen_tower_reads_each_phrase_once(world: dict[str, Path]) -> None:
    model = load_model(world["model"], device=CPU)
    asked, texts = counted(model), Texts(model, is_frozen=True)
    texts.prepare(["egg", "duck", "egg"])
    alone = model.texts(["duck"]).features_PTC
    for _ in range(3):
        rows = texts(["duck", "egg", "duck"])
    assert asked == [2, 1]
    assert torch.allclose(rows.features_PTC[0], alone[0], atol=1e-6)
    assert torch.equal(rows.features_PTC[0], rows.features_PTC[2])


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_half_precision_learns_nearly_the_same(world: dict[str, Path], name: str) -> None:
    batch = batch_of(world)
    terms, gradients = learned(learner(world, WHOLE), batch)
    half = Fit(micro_pairs=16, precision=choose_precision(name, CPU))
    got_terms, got = learned(learner(world, half), batch)
    assert got_terms["total"] == pytest.approx(terms["total"], rel=0.05)
    assert got_terms["total"] != terms["total"]
    assert apart(got, gradients) <= 0.2


def test_small_gradients_are_scaled_in_fp16_alone() -> None:
    assert Precision(torch.float16).wants_scaling
    assert not choose_precision("bfloat16", CPU).wants_scaling
    assert choose_precision("auto", CPU).dtype is None
