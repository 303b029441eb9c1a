"""The shipped demo model: it is what its card says, and it can do what the product needs of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mlbackend.model.inputs import load_tokenizer, preprocess
from mlbackend.model.network import Sam3Network
from training.demo import card
from training.demo.architecture import CONCEPTS
from training.demo.calibrate import scale_for_doubt, scale_presence
from training.demo.drawings import innermost_pixel
from training.demo.examine import examine_domain, time_on_one_thread
from training.demo.examine_exemplars import examine_exemplars
from training.demo.scenes import draw_scene

FOLDER = Path(__file__).parents[2] / "mlbackend" / "weights" / "demo"
FRESH_SEED = 1_990_000


@pytest.fixture(scope="module")
def network() -> Sam3Network:
    return Sam3Network.load(FOLDER)


@pytest.fixture(scope="module")
def told() -> dict:
    return json.loads((FOLDER / "card.json").read_text())


@pytest.fixture(scope="module")
def seen(network) -> dict[str, dict]:
    tokenizer = load_tokenizer(FOLDER)
    return {
        domain: examine_domain(network, tokenizer, domain, first_seed=FRESH_SEED, scenes=24)
        for domain in ("easy", "hard")
    }


def test_card_describes_these_weights(network, told):
    assert told["weights_hash"] == network.weights_hash()
    assert told["backbone_hash"] == network.backbone_hash()
    assert told["taught_words"] == list(CONCEPTS)
    assert (FOLDER / "MODEL_CARD.md").read_text() == card.render(told)


def test_whole_model_is_a_few_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 13e6


def test_easy_barns_are_understood(seen):
    assert seen["easy"]["f1_at_50"] > 0.7
    assert seen["easy"]["il_mcc"] > 0.8


def test_hard_barns_are_harder_but_not_dark(seen):
    assert seen["hard"]["cgf1"] < seen["easy"]["cgf1"] - 0.1
    assert seen["hard"]["il_mcc"] > 0.2
    assert seen["hard"]["presence_band_share"] > 0.02


@pytest.mark.parametrize("domain", ["easy", "hard"])
def test_one_click_finds_the_object_in_either_domain(seen, domain):
    assert seen[domain]["one_click_miou"] > 0.75


def test_fresh_figures_agree_with_the_card(seen, told):
    for domain in ("easy", "hard"):
        assert seen[domain]["il_mcc"] == pytest.approx(told["quality"][domain]["il_mcc"], abs=0.2)
        assert seen[domain]["one_click_miou"] == pytest.approx(told["quality"][domain]["one_click_miou"], abs=0.1)


@torch.inference_mode()
def test_word_that_was_never_drawn_is_not_found(network):
    ids, mask = load_tokenizer(FOLDER)(["horse", "tractor"])
    pixels = torch.stack([preprocess(draw_scene(FRESH_SEED + i, "easy").image_HWC, 224) for i in range(8)])
    text = network.text_features(ids, mask)
    for tokens in network.encode(pixels)[:, None]:
        found = network.detect(network.detector_features(tokens), text, with_masks=False)
        assert found.scores_PQ.max() < 0.5


def test_single_mask_path_answers_as_well_as_the_best_of_three(network):
    """multimask=False falls back on the three masks where its own is unstable: both paths must be trained."""
    scene = draw_scene(FRESH_SEED, "easy")
    mask = max((m for _, m in scene.instances), key=np.sum)
    with torch.inference_mode():
        levels = network.tracker_features(network.encode(preprocess(scene.image_HWC, 224)[None]))
        point = torch.tensor(innermost_pixel(mask), dtype=torch.float32).view(1, 1, 1, 2)
        answer = network.click(levels, point, torch.ones(1, 1, 1, dtype=torch.long), multimask=False)
    logits = torch.nn.functional.interpolate(answer.mask_logits_BPKHW[0], size=(224, 224), mode="bilinear")
    found = (logits[0, 0] > 0).numpy()
    assert (found & mask).sum() / (found | mask).sum() > 0.8


def test_encode_and_click_are_quick_enough_to_serve_on_a_laptop(network):
    """Ten times the card's aim, so that a busy machine does not fail it: this catches a change of scale only."""
    speed = time_on_one_thread(network, repeats=3)
    assert speed["encode_ms"] < 1000
    assert speed["click_ms"] < 300


def test_scale_for_doubt_puts_the_wanted_share_into_the_band():
    logits = np.linspace(-4, 4, 401)
    scale = scale_for_doubt(logits, 0.2)
    chance = 1 / (1 + np.exp(-scale * logits))
    assert ((chance > 0.4) & (chance < 0.6)).mean() == pytest.approx(0.2, abs=0.02)
    assert scale_for_doubt(logits / 100, 0.2) == 1.0


def test_scaled_presence_is_scaled_in_the_answer():
    network = Sam3Network.load(FOLDER)
    text = network.text_features(*load_tokenizer(FOLDER)(["chicken"]))
    vision = network.detector_features(torch.randn(1, 256, 128, generator=torch.Generator().manual_seed(1)))
    before = network.detect(vision, text, with_masks=False).presence_logits_P
    scale_presence(network, 0.5)
    assert torch.allclose(network.detect(vision, text, with_masks=False).presence_logits_P, before / 2, atol=1e-5)


def test_one_example_finds_the_others_where_the_word_was_never_taught(network):
    seen = examine_exemplars(network, load_tokenizer(FOLDER), "easy", first_seed=FRESH_SEED, scenes=16)
    assert seen["box"]["recall"] > 0.6
    assert seen["box"]["precision"] > 0.6
    assert seen["word and box"]["recall"] > 0.7
