"""Boxes as examples of a concept: RoIAlign against stored outputs, and the whole path against transformers' own."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers.models.sam3 import modeling_sam3
from transformers.models.sam3.modeling_sam3 import Sam3Model

from mlbackend.model.checkpoint import read_configs
from mlbackend.model.exemplars import roi_align
from mlbackend.model.predictor import Predictor
from mlbackend.model.prompts import ExemplarBox
from tests.backend.conftest import Served
from tests.backend.support import noisy_picture
from tests.data.make_roi_align_reference import roi_align as slow_roi_align

REFERENCE = json.loads((Path(__file__).parents[1] / "data" / "roi_align_reference.json").read_text())
EXAMPLES = [ExemplarBox((20.0, 24.0, 70.0, 80.0)), ExemplarBox((100.0, 10.0, 150.0, 60.0), positive=False)]


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: f"{case['box']} {case['bins']}")
def test_roi_align_matches_the_stored_reference(case: dict) -> None:
    features = torch.tensor(REFERENCE["features"], dtype=torch.float64)
    pooled = roi_align(features, torch.tensor([case["box"]], dtype=torch.float64), case["bins"])[0]
    assert pooled.tolist() == pytest.approx(np.array(case["pooled"]), abs=1e-6)


def reference_ops() -> SimpleNamespace:
    """What transformers calls where torchvision is installed, by the slow reference."""

    def roi_align_batch(features, boxes, bins):
        pooled = [
            slow_roi_align(image.double().numpy(), box, bins)
            for image, rows in zip(features, boxes, strict=True)
            for box in rows.tolist()
        ]
        return torch.tensor(np.stack(pooled), dtype=torch.float32)

    return SimpleNamespace(ops=SimpleNamespace(roi_align=roi_align_batch))


def test_exemplars_give_what_transformers_gives(
    tiny: Predictor, backend_var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modeling_sam3, "torchvision", reference_ops(), raising=False)
    folder = backend_var / "models" / "tiny"
    detector = Sam3Model.from_pretrained(folder, config=read_configs(folder)[0]).eval()
    pixels = tiny.preprocess(noisy_picture(1))
    ids, mask = tiny.tokenizer(["chicken"])
    boxes = torch.tensor([[[45 / 160, 52 / 120, 50 / 160, 56 / 120], [125 / 160, 35 / 120, 50 / 160, 50 / 120]]])
    with torch.inference_mode():
        expected = detector(
            pixel_values=pixels[None],
            input_ids=ids,
            attention_mask=mask,
            input_boxes=boxes,
            input_boxes_labels=torch.tensor([[1, 0]]),
        )
    tokens = tiny.encode(pixels[None], [(160, 120)])[0]
    result = tiny.detect(tokens, ["chicken"], score_threshold=0.0, exemplars=[EXAMPLES])[0]
    assert result.presence == pytest.approx(float(expected.presence_logits.sigmoid()), abs=2e-3)
    best_first = sorted(expected.pred_logits[0].sigmoid().tolist(), reverse=True)
    assert [i.query_score for i in result.instances] == pytest.approx(best_first, abs=2e-3)


def test_concept_without_exemplars_is_untouched_by_anothers(tiny: Predictor) -> None:
    tokens = tiny.encode(tiny.preprocess(noisy_picture(1))[None], [(160, 120)])[0]
    plain = tiny.detect(tokens, ["duck"], score_threshold=0.0)[0]
    beside = tiny.detect(tokens, ["chicken", "duck"], score_threshold=0.0, exemplars=[EXAMPLES, []])[1]
    assert beside.presence == pytest.approx(plain.presence, abs=1e-6)


def ask(server: Served, **body: object) -> tuple[int, dict]:
    request = {"model_version": "tiny", "images": [server.pictures[0]], "concepts": ["chicken"]} | body
    status, answer, _ = server.client.call("/v1/predict", request)
    return status, answer


def test_exemplars_change_the_answer_over_http(server: Served) -> None:
    plain = ask(server)[1]["results"][0]["concepts"][0]["presence"]
    positive = ask(server, exemplar_boxes=[[[20, 24, 70, 80]]])[1]["results"][0]["concepts"][0]["presence"]
    negative = ask(server, exemplar_boxes=[[{"box": [20, 24, 70, 80], "label": 0}]])
    assert len({plain, positive, negative[1]["results"][0]["concepts"][0]["presence"]}) == 3


@pytest.mark.parametrize(
    "boxes", [[], [[[0, 0, 1]]], [[[5, 5, 5, 9]]], [[{"box": [0, 0, 9, 9], "label": 2}]], "x", [[[0, 0, 9, 9]], []]]
)
def test_bad_exemplars_are_refused(server: Served, boxes: object) -> None:
    status, answer = ask(server, exemplar_boxes=boxes)
    assert (status, answer["error"]["code"]) == (400, "bad_request")


def test_exemplar_outside_its_image_is_that_images_error(server: Served) -> None:
    status, answer = ask(server, exemplar_boxes=[[[0, 0, 900, 9]]])
    assert status == 200
    assert answer["results"][0]["error"]["code"] == "outside_image"
