"""The trainer's guard in front of pycocotools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from training import masks
from training.masks import MaskError

HOSTILE = json.loads((Path(__file__).parents[1] / "data" / "hostile_masks.json").read_text())


def cases(group: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in HOSTILE[group] if case["kind"] == "rle"]


def decode(case: dict[str, Any]) -> np.ndarray:
    return masks.decode_rle(case["value"], height_px=case["height_px"], width_px=case["width_px"])


@pytest.mark.parametrize("case", cases("refused"))
def test_mask_that_all_three_towers_refuse_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(MaskError):
        decode(case)


@pytest.mark.parametrize("case", cases("accepted"))
def test_odd_but_valid_mask_is_decoded(case: dict[str, Any]) -> None:
    assert int(decode(case).sum()) == case["area"]


def ragged(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width)) < 0.4


@pytest.mark.parametrize("seed", range(5))
def test_masks_of_any_shape_come_back(seed: int) -> None:
    mask = ragged(seed, 7 + seed, 40 - seed)
    assert (masks.decode_rle(masks.encode_mask(mask), height_px=7 + seed, width_px=40 - seed) == mask).all()


def test_long_runs_and_many_masks_pass_at_once() -> None:
    wide = np.zeros((900, 1200), dtype=bool)
    wide[400:700, 3:1100] = True
    masks.check_rles(
        [masks.encode_mask(mask) for mask in (wide, ~wide, ragged(1, 50, 60), np.zeros((4, 4), dtype=bool))]
    )


def changed(**changes: Any) -> dict[str, Any]:
    return {**masks.encode_mask(ragged(3, 12, 12)), **changes}


@pytest.mark.parametrize(
    "rle",
    [
        changed(size=[12, 13]),
        changed(size=[12, 11]),
        changed(size=[100_000, 100_000]),
        changed(size=[-12, -12]),
        changed(size=[12.0, 12.0]),
        changed(size="12x12"),
        changed(counts=""),
        changed(counts="P"),
        changed(counts="ooooooooooooo0"),
        changed(counts="\x00\x01"),
        changed(counts="é"),
        changed(counts=None),
    ],
    ids=lambda rle: repr(rle)[-40:],
)
def test_hostile_rle_is_refused(rle: dict[str, Any]) -> None:
    with pytest.raises(MaskError):
        masks.check_rles([changed(), rle])


def test_negative_run_is_refused_although_the_sum_fits() -> None:
    counts = coco_mask.encode(np.asfortranarray(np.ones((2, 2), dtype=np.uint8)))["counts"]
    assert counts == b"04"
    with pytest.raises(MaskError):
        masks.check_rles([{"size": [2, 2], "counts": "6N"}])  # runs 6 and -2


def test_mask_of_another_image_is_refused() -> None:
    with pytest.raises(MaskError, match="on an image of"):
        masks.decode_rle(changed(), height_px=24, width_px=6)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e8, -1e9])
def test_polygon_with_a_wild_coordinate_is_refused(value: float) -> None:
    with pytest.raises(MaskError):
        masks.to_compressed([[0, 0, 5, 0, 5, value]], height_px=10, width_px=10)


@pytest.mark.parametrize("counts", [[50, 51], [-1, 101], [50.5, 49.5], [True, 99]])
def test_uncompressed_runs_that_do_not_fill_the_image_are_refused(counts: list[Any]) -> None:
    with pytest.raises(MaskError):
        masks.to_compressed({"size": [10, 10], "counts": counts}, height_px=10, width_px=10)
