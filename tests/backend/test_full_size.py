"""SAM 3 at its full size (848 M parameters, 1008 px) with random weights, through the code that serves the demo model.

Opt-in (ROOST_TEST_FULL_SIZE=1): it writes 3.4 GB into the cache folder once, needs 12 GB of memory and, on a CPU,
minutes for each encode. One process loads the weights; every test reads from it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from transformers.models.sam3_tracker.modeling_sam3_tracker import Sam3TrackerModel

from mlbackend.model.checkpoint import WeightsError, read_configs
from mlbackend.model.loader import LoadOptions, load_predictor, parameter_bytes
from mlbackend.model.logits import logits_to_wire
from mlbackend.model.masks import decode_wire_mask
from mlbackend.model.predictor import Predictor, Prompt
from mlbackend.model.prompts import Point
from mlbackend.store.embeddings import Embedding
from tests.backend.support import noisy_picture

pytestmark = [
    pytest.mark.full_size,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("ROOST_TEST_FULL_SIZE") != "1",
        reason="full-size SAM 3 takes minutes and 12 GB: set ROOST_TEST_FULL_SIZE=1",
    ),
]
WIDTH, HEIGHT = 640, 480


@pytest.fixture(scope="module")
def folder() -> Path:
    from bench.serving import full_size_folder

    return full_size_folder()


@pytest.fixture(scope="module")
def full(folder: Path) -> Predictor:
    return load_predictor(folder, LoadOptions())


@pytest.fixture(scope="module")
def pixels(full: Predictor) -> torch.Tensor:
    return full.preprocess(noisy_picture(1, width=WIDTH, height=HEIGHT))[None]


@pytest.fixture(scope="module")
def tokens(full: Predictor, pixels: torch.Tensor) -> Embedding:
    return full.encode(pixels, [(WIDTH, HEIGHT)])[0]


def test_the_vit_is_held_once(full: Predictor) -> None:
    parameters = sum(p.numel() for p in {id(p): p for p in full.network.parameters()}.values())
    assert 845e6 < parameters < 860e6
    assert full.network.image_size_px == 1008
    assert parameter_bytes(full) <= 4 * parameters


def test_other_resolution_is_refused(folder: Path) -> None:
    with pytest.raises(WeightsError, match="runs at 1008 px alone"):
        load_predictor(folder, LoadOptions(image_size_px=1024))


def test_text_prompt_reads_presence_and_two_hundred_queries(full: Predictor, tokens: Embedding) -> None:
    assert tokens.tensors["tokens"].shape == (5184, 1024)
    result = full.detect(tokens, ["chicken"], score_threshold=0.0)[0]
    assert 0 <= result.presence <= 1
    assert len(result.instances) == 200
    assert result.instances[0].mask_logits_hw.shape == (288, 288)


def test_click_answers_three_masks_of_the_images_size(full: Predictor, tokens: Embedding) -> None:
    candidates = full.click([Prompt(full.click_features(tokens), (Point(320, 240, 1),))])[0]
    assert len(candidates) == 3
    for candidate in candidates:
        wire = logits_to_wire(candidate.mask_logits_hw, height_px=HEIGHT, width_px=WIDTH)
        assert decode_wire_mask(wire).shape == (HEIGHT, WIDTH)


@pytest.mark.skipif(torch.cuda.is_available(), reason="compares in fp32, on the CPU")
def test_click_input_is_bit_equal_to_the_separate_trackers(
    full: Predictor,
    folder: Path,
    pixels: torch.Tensor,
) -> None:
    tracker = Sam3TrackerModel.from_pretrained(folder, config=read_configs(folder)[1]).eval()
    with torch.inference_mode():
        expected = tracker.get_image_embeddings(pixels)
        got = full.network.tracker_features(full.network.encode(pixels))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(got, expected, strict=True))
