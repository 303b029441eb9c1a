import json
import time
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from annotator.common import masks
from annotator.common.errors import MaskError

CASES = json.loads((Path(__file__).parent.parent / "data" / "hostile_masks.json").read_text())


def _read(case: dict) -> masks.Rle:
    readers = {"rle": masks.rle_checked, "wire": masks.wire_to_rle, "polygons": masks.polygons_to_rle}
    return readers[case["kind"]](case["value"], height_px=case["height_px"], width_px=case["width_px"])


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: f"{case['kind']}: {case['name']}")
def test_hostile_mask_is_refused_with_a_sentence(case):
    with pytest.raises(MaskError, match=r"\.$|…$"):
        _read(case)


@pytest.mark.parametrize("case", CASES["accepted"], ids=lambda case: f"{case['kind']}: {case['name']}")
def test_odd_but_sound_mask_has_its_area(case):
    assert masks.rle_area(_read(case)) == case["area"]


def test_nan_in_a_polygon_is_refused():
    with pytest.raises(MaskError, match="finite"):
        masks.polygons_to_rle([[0, 0, float("nan"), 0, 2, 2]], height_px=4, width_px=4)


def test_a_polygon_of_a_million_points_is_refused_at_once():
    begin = time.thread_time()
    with pytest.raises(MaskError, match="simplify"):
        masks.polygons_to_rle([[1.0] * 2_000_000], height_px=100, width_px=100)
    assert time.thread_time() - begin < 2


def test_a_zigzag_that_would_fill_the_memory_is_refused():
    zigzag = [value for index in range(50_000) for value in (float(index % 2 * 8000), float(index % 8000))]
    with pytest.raises(MaskError, match="outline"):
        masks.polygons_to_rle([zigzag], height_px=8000, width_px=8000)


def test_a_polygon_is_cut_and_not_bent_at_the_edge():
    # The triangle (0, 0), (1000, 0), (0, 10) covers 1/2 x (10 + 9) x 100 px of a 100 px wide image.
    rle = masks.polygons_to_rle([[0, 0, 1000, 0, 0, 10]], height_px=20, width_px=100)
    assert masks.rle_area(rle) == pytest.approx(950, abs=100)
    assert masks.rle_box_xyxy(rle)[2] == 100


def test_mask_survives_every_way_round():
    mask = np.random.default_rng(4).random((37, 53)) > 0.7
    rle = masks.encode_mask(mask)
    wire = masks.rle_to_wire(rle)
    assert (masks.decode_rle(rle) == mask).all()
    assert masks.wire_to_rle(wire, height_px=37, width_px=53) == rle
    assert masks.rle_area(rle) == mask.sum()


def test_runs_of_compressed_counts_are_those_of_the_mask():
    rng = np.random.default_rng(8)
    flips = np.sort(rng.choice(np.arange(1, 90_000), size=301, replace=False))
    runs = np.diff(np.concatenate([[0], flips, [90_000]]))
    rle = masks.rle_checked({"size": [300, 300], "counts": runs.tolist()}, height_px=300, width_px=300)
    assert masks.run_lengths(rle["counts"]).tolist() == runs.tolist()


def test_wire_mask_is_cropped_to_the_object():
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:15, 20:40] = True
    wire = masks.rle_to_wire(masks.encode_mask(mask))
    assert wire["crop_xywh"] == [20, 10, 20, 5]
    assert wire["size"] == [40, 60]


def test_iou_is_overlap_over_union():
    first, second = np.zeros((10, 10), dtype=bool), np.zeros((10, 10), dtype=bool)
    first[:, :6], second[:, 4:] = True, True
    assert masks.rle_iou(masks.encode_mask(first), masks.encode_mask(second)) == pytest.approx(0.2)


def test_masks_of_two_sizes_are_not_compared():
    with pytest.raises(MaskError, match="different"):
        masks.rle_iou(masks.encode_mask(np.ones((2, 2))), masks.encode_mask(np.ones((2, 3))))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_wire_mask_holds_the_pixels_of_its_crop_whatever_they_are(share):
    rng = np.random.default_rng(int(100 * share))
    for height, width in ((1, 1), (1, 9), (9, 1), (23, 17), (40, 60)):
        whole = np.zeros((height, width), dtype=bool)
        top, left = int(rng.integers(height)), int(rng.integers(width))
        whole[top:, left:] = rng.random((height - top, width - left)) < share
        wire = masks.rle_to_wire(masks.encode_mask(whole))
        x, y, w, h = wire["crop_xywh"]
        if whole.any():
            crop = coco_mask.decode({"size": [h, w], "counts": wire["counts"].encode()}).astype(bool)
            assert (crop == whole[y : y + h, x : x + w]).all()
        assert masks.wire_to_rle(wire, height_px=height, width_px=width) == masks.encode_mask(whole)


def test_a_small_mask_on_a_large_picture_is_read_without_its_empty_pixels():
    crop = {"size": [20_000, 20_000], "crop_xywh": [9_000, 9_000, 2, 2], "counts": "04"}
    begin = time.thread_time()
    rle = masks.wire_to_rle(crop, height_px=20_000, width_px=20_000)
    assert masks.rle_to_wire(rle) == crop
    assert time.thread_time() - begin < 0.2


@pytest.mark.parametrize(("x0", "y0"), [(0, 0), (3, 2), (-2, -1), (6, 5), (40, 0), (-40, 0)])
def test_mask_from_a_part_is_the_part_laid_on_the_picture_and_cut_off_there(x0, y0):
    part = np.random.default_rng(0).random((6, 7)) > 0.4
    whole = np.zeros((100, 100), dtype=bool)
    whole[40 + y0 : 46 + y0, 40 + x0 : 47 + x0] = part
    wanted = whole[40:50, 40:52]
    found = masks.encode_crop(part, x0=x0, y0=y0, height_px=10, width_px=12)
    assert found == masks.encode_mask(wanted)
    crop, left, top = masks.mask_cropped(found)
    assert crop.sum() == wanted.sum()
    assert (crop == wanted[top : top + crop.shape[0], left : left + crop.shape[1]]).all()
