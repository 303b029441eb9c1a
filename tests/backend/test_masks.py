"""The mask codec and the order: logits upsampled, then thresholded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mlbackend.model.logits import logits_to_wire, stability
from mlbackend.model.masks import MaskError, decode_counts, decode_wire_mask, empty_wire_mask, encode_mask

HOSTILE = json.loads((Path(__file__).parents[1] / "data" / "hostile_masks.json").read_text())


def cases(group: str, *kinds: str) -> list[Any]:
    return [
        pytest.param(case, id=f"{case['kind']}: {case['name']}")
        for case in HOSTILE[group]
        if case["kind"] in kinds and not (case["kind"] == "rle" and not compressed(case))
    ]


def compressed(case: dict[str, Any]) -> bool:
    return isinstance(case["value"], dict) and isinstance(case["value"].get("counts"), str)


def decode(case: dict[str, Any]) -> np.ndarray:
    if case["kind"] == "wire":
        return decode_wire_mask(case["value"], size_hw=(case["height_px"], case["width_px"]))
    return decode_counts(case["value"]["counts"], height_px=case["height_px"], width_px=case["width_px"])


@pytest.mark.parametrize("case", cases("refused", "wire", "rle"))
def test_hostile_mask_is_refused_before_pycocotools(case: dict[str, Any]) -> None:
    with pytest.raises(MaskError):
        decode(case)


@pytest.mark.parametrize("case", cases("accepted", "wire", "rle"))
def test_odd_but_valid_mask_is_decoded(case: dict[str, Any]) -> None:
    assert int(decode(case).sum()) == case["area"]


@pytest.mark.parametrize("seed", range(4))
def test_mask_comes_back_from_the_wire(seed: int) -> None:
    mask = np.zeros((37, 53), dtype=bool)
    mask[5:30, 8:44] = np.random.default_rng(seed).random((25, 36)) < 0.3
    assert (decode_wire_mask(encode_mask(mask)) == mask).all()


def test_empty_mask_has_an_empty_crop() -> None:
    assert encode_mask(np.zeros((4, 6), dtype=bool)) == empty_wire_mask(4, 6)
    assert empty_wire_mask(4, 6) == {"size": [4, 6], "crop_xywh": [0, 0, 0, 0], "counts": ""}
    assert not decode_wire_mask(empty_wire_mask(4, 6)).any()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (480, 640), (97, 211), (30, 50), (1, 300), (7, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_cropped_upsampling_equals_the_whole(height: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    logits = F.avg_pool2d(torch.randn(1, 1, 66, 66), 3, 1)[0, 0] - 0.3
    logits[:, :20] = -5
    whole = F.interpolate(logits[None, None], size=(height, width), mode="bilinear", align_corners=False)[0, 0]
    certain = whole.abs() > 1e-4
    mask = torch.from_numpy(decode_wire_mask(logits_to_wire(logits, height_px=height, width_px=width)))
    assert mask.shape == (height, width)
    assert (mask == (whole > 0))[certain].all()


def test_sigmoid_is_not_taken_before_upsampling() -> None:
    """One strong cell among weak negatives: its logit decides how far it reaches."""
    logits = torch.full((8, 8), -0.5)
    logits[4, 4] = 20.0
    area = decode_wire_mask(logits_to_wire(logits, height_px=80, width_px=80)).sum()
    probabilities = F.interpolate(logits.sigmoid()[None, None], size=(80, 80), mode="bilinear")[0, 0] > 0.5
    assert area > 1.5 * int(probabilities.sum())


def test_stability_is_the_iou_of_two_thresholds() -> None:
    """Half of the cells at 3, half at -3: a standard deviation of 3, so that the thresholds lie at 1.05 and -1.05."""
    logits = torch.full((4, 4), -3.0)
    logits[:2] = 3.0
    assert stability(logits) == 1.0
    logits[0], logits[2] = torch.tensor([3.0, 3.0, 9.0, 0.5]), torch.tensor([-3.0, -3.0, -9.0, -0.5])
    assert stability(logits) == pytest.approx(7 / 9)


@pytest.mark.parametrize("times", [0.01, 3.0, 100.0])
def test_stability_does_not_change_with_the_scale_of_the_logits(times: float) -> None:
    logits = torch.nn.functional.avg_pool2d(torch.randn(1, 1, 66, 66, generator=torch.Generator().manual_seed(5)), 3, 1)
    plain = stability(logits[0, 0])
    assert 0.1 < plain < 0.9
    assert stability(times * logits[0, 0]) == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize(("value", "expected"), [(2.0, 1.0), (-2.0, 0.0), (0.0, 0.0)])
def test_mask_of_one_value_is_wholly_stable_or_not_there(value: float, expected: float) -> None:
    assert stability(torch.full((8, 8), value)) == expected
