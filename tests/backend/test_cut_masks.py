"""Tighter and looser: an answered mask is drawn again at another threshold of its logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mlbackend.model.logits import logits_to_wire
from mlbackend.model.masks import decode_wire_mask
from tests.backend.conftest import Served


def click(server: Served, **changes: Any) -> dict[str, Any]:
    body = {"model_version": "tiny", "image": server.pictures[0], "points": [{"x": 40, "y": 50, "label": 1}]}
    return server.client.post("/v1/click", body | changes)


def cut(server: Served, mask_id: str, threshold: float, **changes: Any) -> dict[str, Any]:
    body = {"image": server.pictures[0], "mask_id": mask_id, "threshold": threshold}
    return server.client.post("/v1/mask", body | changes)


@pytest.mark.parametrize("threshold", [-3.5, -1.0, 0.0, 2.0])
def test_cut_is_where_upsampled_logits_exceed_the_threshold(threshold: float) -> None:
    logits = torch.randn(24, 24, generator=torch.Generator().manual_seed(5)) * 3
    wire = logits_to_wire(logits, height_px=97, width_px=211, threshold=threshold)
    theirs = F.interpolate(logits[None, None], size=(97, 211), mode="bilinear", align_corners=False)[0, 0]
    differing = torch.from_numpy(decode_wire_mask(wire)) != (theirs > threshold)
    assert bool((theirs[differing] - threshold).abs().lt(1e-4).all())
    assert int(differing.sum()) <= 2


@pytest.mark.parametrize("preview", [False, True])
def test_every_candidate_cut_at_zero_is_what_the_click_answered(server: Served, preview: bool) -> None:
    for candidate in click(server, preview=preview)["candidates"]:
        answer = cut(server, candidate["mask_id"], 0)
        assert answer["mask"] == candidate["mask"]
        assert answer["mask_id"] == candidate["mask_id"]


def test_tighter_lies_inside_and_looser_around(server: Served) -> None:
    mask_id = click(server)["mask_id"]
    tight, plain, loose = (decode_wire_mask(cut(server, mask_id, threshold)["mask"]) for threshold in (0.05, 0, -0.05))
    assert tight.sum() < plain.sum() < loose.sum()
    assert np.array_equal(tight & plain, tight)
    assert np.array_equal(plain & loose, plain)


def test_cut_says_image_version_threshold_and_stages(server: Served) -> None:
    answer = cut(server, click(server, model_version="other")["mask_id"], -1.5)
    assert (answer["model_version"], answer["image"], answer["threshold"]) == ("other", server.pictures[0], -1.5)
    assert answer["stages_ms"].keys() == {"wait", "mask", "total"}


@pytest.mark.parametrize(
    "changes", [{"mask_id": "unheard-of"}, {"image": "0" * 64}], ids=["unknown id", "another image"]
)
def test_mask_that_this_image_does_not_have_says_what_to_do(server: Served, changes: dict[str, Any]) -> None:
    body = {"image": server.pictures[0], "mask_id": click(server)["mask_id"], "threshold": 1}
    error = server.client.post("/v1/mask", body | changes, expected=404)["error"]
    assert error["code"] == "unknown_mask"
    assert "click the object again" in error["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", 8.01),
        ("threshold", "1"),
        ("threshold", None),
        ("threshold", True),
        ("mask_id", None),
        ("mask_id", 7),
        ("image", "x"),
    ],
)
def test_nonsense_is_refused_by_name(server: Served, field: str, value: Any) -> None:
    body = {"image": server.pictures[0], "mask_id": "any", "threshold": 1, field: value}
    error = server.client.post("/v1/mask", body, expected=400)["error"]
    assert (error["code"], list(error["fields"])) == ("bad_request", [field])
