"""What a run needs of a card where the ViT learns: held against real tensors, and SAM 3 at its size against 24 GB."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers.models.sam3.configuration_sam3 import Sam3Config

from tests.train.snapshots import Snapshot, tiny_model
from training.config import Config
from training.dataset import Snapshot as Frozen
from training.evaluate import find_pairs
from training.fit import Fit
from training.heads import use_training_mode
from training.models import load_model
from training.moving import prepared, token_source
from training.plan import CONTEXT_BYTES, GB, Planner
from training.recompute import recompute_layers
from training.rehearsal import Lesson, Meter, Rehearsal
from training.texts import Texts

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_model(tmp_path_factory.mktemp("model"))


def config(**changes: object) -> Config:
    asked = {"text_rate": 0.0, "batch_pairs": 8, "mask_pairs": 2, "blend_pairs": 0, **changes}
    return replace(Config(snapshot="", images="", base_model=""), **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("vit", ["full", "lora"])
@pytest.mark.parametrize("recompute", [False, True])
def test_rehearsal_takes_what_real_tensors_take(folder: Path, tmp_path: Path, vit: str, recompute: bool) -> None:
    made = Snapshot(tmp_path).add_scenes("train", "easy", 8).freeze()
    pairs = [pair for pair in Frozen(made.folder).split("train").pairs if pair.is_positive]
    pairs = list({pair.image: pair for pair in pairs}.values())[:8]
    asked = config(vit=vit, images=str(made.images))
    model = load_model(folder, device=CPU)
    source = token_source(asked, model, tmp_path, Fit(8))
    source.prepare(pair.image for pair in pairs)
    parameters = prepared(model.network, asked)
    if recompute:
        recompute_layers(model.network)
    use_training_mode(model.network, True)
    text = Texts(model, is_frozen=True)([pair.phrase for pair in pairs])
    with Meter() as meter:
        found, _ = find_pairs(model, source, pairs, text)
        torch.stack(
            [layer.boxes_xyxy_PQ4.sum() + layer.query_logits_PQ.sum() for layer in found.layers]
        ).sum().backward()
    lesson = Lesson(pairs=len(pairs), drawn=0, mixed=0, objects=1, learns_text=False)
    planned = Rehearsal(folder, asked).learn(Fit(8, recompute=recompute), lesson)
    weights = sum(parameter.nbytes for parameter in parameters.values())
    assert planned == pytest.approx(meter.most, rel=0.35, abs=weights)


def test_vit_that_learns_costs_weights_gradients_two_moments_and_one_average(folder: Path) -> None:
    parts = {}
    for vit in ("frozen", "full", "lora"):
        phases = {
            phase.name: phase.parts for phase in Planner(config(vit=vit), folder, None).phases(Fit(8), config(vit=vit))
        }
        parts[vit] = phases["train"]
        assert list(phases) == ["load", *(["encode"] if vit == "frozen" else []), "train", "validate"]
    vit_bytes = sum(
        p.nbytes for p in load_model(folder, device=CPU).network.detector.vision_encoder.backbone.parameters()
    )
    more = {
        name: parts["full"][name] - parts["frozen"][name] for name in ("weights", "gradients", "optimiser", "average")
    }
    assert more == {"weights": vit_bytes, "gradients": vit_bytes, "optimiser": 2 * vit_bytes, "average": vit_bytes}
    adapters = 4 * 8 * (32 + 32) * 4  # four projections of 32 x 32, rank 8, in fp32
    more = {name: parts["lora"][name] - parts["frozen"][name] for name in more}
    assert more == {
        "weights": vit_bytes + adapters,
        "gradients": adapters,
        "optimiser": 2 * adapters,
        "average": adapters,
    }


def test_features_are_not_planned_for_a_vit_that_learns(folder: Path, tmp_path: Path) -> None:
    made = Snapshot(tmp_path).add_scenes("train", "easy", 3).add_scenes("val", "easy", 2).freeze()
    frozen, full = (
        Planner(config(vit=vit, snapshot=str(made.folder)), folder, None).train().features_bytes
        for vit in ("frozen", "full")
    )
    assert (frozen > 0, full) == (True, 0)


def test_run_that_does_not_fit_is_told_the_key_to_change(folder: Path) -> None:
    asked = config(vit="full", micro_pairs=8, recompute="never", precision="float32", judge_pairs=1)
    roomy = Planner(asked, folder, 80 * GB).train()
    card = int((roomy.needed_bytes - CONTEXT_BYTES) * 0.9) + CONTEXT_BYTES
    plan = Planner(asked, folder, card).train()
    assert (roomy.fits, plan.fits) == (True, False)
    assert "set micro_pairs to" in plan.sentence


def test_all_of_sam3_trains_on_24_gb_two_pairs_at_a_time(tmp_path: Path) -> None:
    """The real network at its real size, from its config alone: bf16, layers that forget, batch 2."""
    (tmp_path / "config.json").write_text(json.dumps({"detector_config": Sam3Config().to_dict()}))
    asked = config(vit="full", batch_pairs=2, mask_pairs=1, judge_pairs=2)
    plan = Planner(asked, tmp_path, 24 * GB).train()
    assert plan.fits
    assert plan.fit.recompute
    assert plan.fit.precision.name == "bfloat16"
    assert plan.needed_bytes > 4 * 4 * 446e6  # weights, gradients and moments of the ViT alone
