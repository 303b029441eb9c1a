"""Masks and scores of one loaded version, against transformers' own models."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers.models.sam3.modeling_sam3 import Sam3Model
from transformers.models.sam3_tracker.modeling_sam3_tracker import Sam3TrackerModel

from mlbackend.model.checkpoint import read_configs
from mlbackend.model.loader import LoadOptions, load_predictor
from mlbackend.model.predictor import Predictor, Prompt
from mlbackend.model.prompts import Point
from mlbackend.store.embeddings import Embedding, Key, WarmLayer
from tests.backend.support import noisy_picture

WIDTH, HEIGHT = 160, 120
POSITIVE, NEGATIVE = Point(40, 50, 1), Point(120.5, 20, 0)


def encode(predictor: Predictor, seed: int = 1) -> Embedding:
    pixels = predictor.preprocess(noisy_picture(seed, width=WIDTH, height=HEIGHT))
    return predictor.encode(pixels[None], [(WIDTH, HEIGHT)])[0]


def click_input(predictor: Predictor, seed: int = 1) -> Embedding:
    return predictor.click_features(encode(predictor, seed))


@pytest.fixture(scope="module")
def references(backend_var: Path) -> tuple[Sam3Model, Sam3TrackerModel]:
    """The two models as transformers alone loads them, each with a ViT of its own."""
    folder = backend_var / "models" / "tiny"
    config, tracker_config = read_configs(folder)
    return (
        Sam3Model.from_pretrained(folder, config=config).eval(),
        Sam3TrackerModel.from_pretrained(folder, config=tracker_config).eval(),
    )


def test_text_scores_are_transformers_own(tiny: Predictor, references) -> None:
    detector, _ = references
    pixels = tiny.preprocess(noisy_picture(1, width=WIDTH, height=HEIGHT))
    ids, mask = tiny.tokenizer(["chicken"])
    with torch.inference_mode():
        expected = detector(pixel_values=pixels[None], input_ids=ids, attention_mask=mask)
    result = tiny.detect(encode(tiny), ["chicken"], score_threshold=0.0)[0]
    best_first = sorted(expected.pred_logits[0].sigmoid().tolist(), reverse=True)
    assert result.presence == pytest.approx(float(expected.presence_logits.sigmoid()), abs=2e-3)
    assert [i.query_score for i in result.instances] == pytest.approx(best_first, abs=2e-3)


def test_click_is_the_trackers_own(tiny: Predictor, references) -> None:
    _, tracker = references
    pixels = tiny.preprocess(noisy_picture(1, width=WIDTH, height=HEIGHT))
    point = torch.tensor([[[[40 * 224 / WIDTH, 50 * 224 / HEIGHT]]]])
    with torch.inference_mode():
        expected = tracker(pixel_values=pixels[None], input_points=point, input_labels=torch.ones(1, 1, 1).long())
    best = tiny.click([Prompt(click_input(tiny), (POSITIVE,))])[0][0]
    row = int(expected.iou_scores[0, 0].argmax())
    assert best.score == pytest.approx(float(expected.iou_scores[0, 0, row]), abs=2e-3)
    assert torch.allclose(best.mask_logits_hw, expected.pred_masks[0, 0, row], atol=2e-2)


def test_concepts_asked_together_answer_as_they_do_alone(tiny: Predictor) -> None:
    tokens, concepts = encode(tiny), [f"thing {i}" for i in range(10)]
    together = tiny.detect(tokens, concepts, score_threshold=0.0)
    for concept, result in zip(concepts, together, strict=True):
        alone = tiny.detect(tokens, [concept], score_threshold=0.0)[0]
        assert result.concept == concept
        assert result.presence == pytest.approx(alone.presence, abs=1e-5)


def picture_pixels(predictor: Predictor, seeds: range) -> torch.Tensor:
    return torch.stack([predictor.preprocess(noisy_picture(seed, width=WIDTH, height=HEIGHT)) for seed in seeds])


def test_images_encoded_together_are_bit_equal_to_each_alone(tiny: Predictor) -> None:
    together = tiny.encode(picture_pixels(tiny, range(8)), [(WIDTH, HEIGHT)] * 8)
    for seed, embedding in enumerate(together):
        assert torch.equal(embedding.tensors["tokens"], encode(tiny, seed).tensors["tokens"])


def check_asked_together(predictor: Predictor, concepts: list[str], presence: float, logits: float) -> None:
    images = [encode(predictor, seed) for seed in range(5)]
    for image, results in zip(images, predictor.detect_each(images, concepts, score_threshold=0.0), strict=True):
        for alone, together in zip(predictor.detect(image, concepts, score_threshold=0.0), results, strict=True):
            assert together.concept == alone.concept
            assert together.presence == pytest.approx(alone.presence, abs=presence)
            masks = [torch.stack([i.mask_logits_hw for i in result.instances]) for result in (alone, together)]
            assert torch.allclose(*masks, atol=logits)


@pytest.mark.parametrize("concepts", [["chicken"], ["chicken", "duck", "rock"]])
def test_images_asked_together_answer_as_they_do_alone(tiny: Predictor, concepts: list[str]) -> None:
    check_asked_together(tiny, concepts, presence=1e-5, logits=1e-3)


def test_points_boxes_negatives_and_earlier_mask_combine(tiny: Predictor) -> None:
    embedding = click_input(tiny)
    earlier = tiny.click([Prompt(embedding, (POSITIVE,))])[0][0].mask_logits_hw
    scores = set()
    for points, box, mask in itertools.product(
        [(POSITIVE,), (POSITIVE, NEGATIVE)], [None, (10.0, 10.0, 90.0, 80.0)], [None, earlier]
    ):
        candidates = tiny.click([Prompt(embedding, points, box, mask)])[0]
        assert len(candidates) == (3 if len(points) == 1 and box is None and mask is None else 1)
        scores.add(round(candidates[0].score, 6))
    assert len(scores) == 8


def test_prompts_decoded_together_answer_as_they_do_alone(tiny: Predictor) -> None:
    prompts = [Prompt(click_input(tiny, seed), (Point(10.0 * seed, 12.0 * seed, 1),)) for seed in range(1, 6)]
    for alone, together in zip([tiny.click([prompt])[0] for prompt in prompts], tiny.click(prompts), strict=True):
        assert torch.allclose(alone[0].mask_logits_hw, together[0].mask_logits_hw, atol=1e-4)


def test_prompts_of_different_shape_are_not_padded_into_one_call(tiny: Predictor) -> None:
    embedding = click_input(tiny)
    with pytest.raises(ValueError, match="one shape"):
        tiny.click([Prompt(embedding, (POSITIVE,)), Prompt(embedding, (POSITIVE, NEGATIVE))])


def test_answer_from_the_warm_copy_is_bit_equal_to_the_first(tiny: Predictor, tmp_path: Path) -> None:
    embedding = click_input(tiny)
    layer = WarmLayer(tmp_path, 1 << 30)
    key = Key("click", "a" * 64, tiny.click_hash, tiny.preprocessing)
    layer.put(key, embedding)
    first, again = (tiny.click([Prompt(e, (POSITIVE,))])[0][0] for e in (embedding, layer.get(key)))
    assert torch.equal(first.mask_logits_hw, again.mask_logits_hw)


def test_boxes_are_original_pixels_inside_the_image(tiny: Predictor) -> None:
    for instance in tiny.detect(encode(tiny), ["chicken"], score_threshold=0.0)[0].instances:
        x0, y0, x1, y1 = instance.box_xyxy
        assert 0 <= x0 <= x1 <= WIDTH
        assert 0 <= y0 <= y1 <= HEIGHT


def test_vit_in_bf16_answers_nearly_the_same(tiny: Predictor, backend_var: Path) -> None:
    half = load_predictor(backend_var / "models" / "tiny", LoadOptions(device="cpu", dtype="bfloat16"))
    assert half.preprocessing != tiny.preprocessing
    exact, rounded = (p.detect(encode(p), ["chicken"], score_threshold=0.0)[0].presence for p in (tiny, half))
    assert rounded == pytest.approx(exact, abs=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_answers_as_the_cpu_does(tiny: Predictor, backend_var: Path) -> None:
    """In fp32 nearly the same; with the ViT in bf16, which is the default there, within a few hundredths."""
    for dtype, tolerance in (("float32", 5e-3), ("auto", 0.03)):
        gpu = load_predictor(backend_var / "models" / "tiny", LoadOptions(device="cuda", dtype=dtype))
        expected, got = (p.detect(encode(p), ["chicken"], score_threshold=0.0)[0] for p in (tiny, gpu))
        assert got.presence == pytest.approx(expected.presence, abs=tolerance)
        expected_click, got_click = (p.click([Prompt(click_input(p), (POSITIVE,))])[0][0] for p in (tiny, gpu))
        assert got_click.score == pytest.approx(expected_click.score, abs=tolerance)
        assert got_click.mask_logits_hw.device.type == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_answers_together_as_it_does_alone(backend_var: Path) -> None:
    """The ViT in bf16, which rounds differently from one batch size to another."""
    gpu = load_predictor(backend_var / "models" / "tiny", LoadOptions(device="cuda"))
    together = gpu.encode(picture_pixels(gpu, range(8)), [(WIDTH, HEIGHT)] * 8)
    for seed, embedding in enumerate(together):
        alone = encode(gpu, seed).tensors["tokens"]
        difference = (embedding.tensors["tokens"] - alone).norm() / alone.norm()
        assert float(difference) < 0.02
    check_asked_together(gpu, ["chicken"], presence=5e-3, logits=0.1)


def test_temperature_divides_the_logit_of_presence_and_leaves_every_instance(tiny: Predictor) -> None:
    tokens, concepts = encode(tiny), ["chicken", "duck"]
    plain = tiny.detect(tokens, concepts, score_threshold=0.0)
    cooled = replace(tiny, temperature=2.5).detect(tokens, concepts, score_threshold=0.0)
    for before, after in zip(plain, cooled, strict=True):
        assert math.log(before.presence / (1 - before.presence)) == pytest.approx(
            2.5 * math.log(after.presence / (1 - after.presence)), rel=1e-3
        )
        assert [(i.score, i.stability, i.box_xyxy) for i in after.instances] == [
            (i.score, i.stability, i.box_xyxy) for i in before.instances
        ]
        assert after.instances[0].score == pytest.approx(after.instances[0].query_score * before.presence, rel=1e-5)
