"""bench.few_labels: what it makes of photographs, its average precision by hand, and its draws."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.few_labels import ABSENT, PHRASE, chosen, photographs, stored
from bench.few_labels_report import mean_precision, of_sums, places_drawn
from training import cgf1, masks
from training.dataset import Snapshot
from training.measures.precision import match_coco

SIDE_PX = 40


def square(x: int, y: int, side: int) -> masks.Rle:
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return masks.encode_mask(mask)


def document(pairs: int, empty: set[int]) -> dict:
    images = [{"id": pair, "width": SIDE_PX, "height": SIDE_PX} for pair in range(1, pairs + 1)]
    annotations = [
        {"id": pair, "image_id": pair, "category_id": 1, "iscrowd": 0, "segmentation": square(5, 5, 20)}
        for pair in range(1, pairs + 1)
        if pair not in empty
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}


def prediction(pair: int, score: float, rle: masks.Rle) -> dict:
    box = masks.box_xywh(rle)
    return {"image_id": pair, "category_id": 1, "score": score, "segmentation": rle, "bbox": box}


def test_average_precision_of_a_hit_a_false_alarm_on_a_negative_and_a_miss():
    """Found at 0.9, nothing there at 0.95, and one of two never found: precision 1/2 up to recall 1/2, by hand."""
    found = [prediction(1, 0.9, square(5, 5, 20)), prediction(3, 0.95, square(0, 0, 10))]
    by_area, boxes = match_coco(document(3, empty={3}), found, [1, 2, 3])
    drawn = [np.array(places) for places in ([0, 1, 2], [0, 1], [0, 0], [2])]
    by_hand = [0.5 * 51 / 101, 51 / 101, 1.0, 0.0]  # recall 0.00 to 0.50 of the 101 that are read
    for matched in (boxes, by_area["all"]):
        assert mean_precision(matched, drawn) == pytest.approx(by_hand)


def test_no_prediction_at_all_has_average_precision_zero():
    _, boxes = match_coco(document(2, empty=set()), [], [1, 2])
    assert mean_precision(boxes, [np.arange(2)]) == [0.0]


def test_bootstrap_draws_whole_images_and_as_many_of_each_kind():
    rows = [{"source": "photograph", "image": name} for name in "aabbcc"]
    rows += [{"source": "easy", "image": name} for name in "xyz"]
    for places in places_drawn(rows, 20):
        counts = np.bincount(places, minlength=9)
        assert (counts[0:6:2] == counts[1:6:2]).all()
        assert [counts[:6].sum(), counts[6:].sum()] == [6, 3]


def test_figures_of_sums_are_the_official_ones():
    truths, hits = np.array([1, 2, 0, 0, 1]), np.array([1, 1, 0, 0, 0])
    counts = cgf1.PairCounts(list(range(5)), truths, np.array([1, 3, 0, 1, 0]), np.tile(hits[:, None], (1, 10)))
    found, official = of_sums(cgf1.sums_of(counts).sum(0)[None])[0], cgf1.summarise(counts)
    names = ("cgF1", "positive_micro_F1", "IL_MCC")
    assert found == pytest.approx([official[f"cgF1_eval_segm_{name}"] for name in names], abs=1e-5)


def export(folder: Path, outlined: int, silent: int = 0) -> Path:
    folder.mkdir()
    images, annotations = [], []
    for number in range(outlined + silent):
        Image.new("RGB", (SIDE_PX, SIDE_PX), (number, 0, 0)).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": SIDE_PX, "height": SIDE_PX})
        if number < outlined:
            corners = [[5, 5, 25, 5, 25, 25, 5, 25]]
            annotations.append({"id": number, "image_id": number, "category_id": 0, "segmentation": corners})
    (folder / "_annotations.coco.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


def test_a_photograph_is_asked_both_phrases_and_one_without_an_outline_is_no_negative(tmp_path: Path):
    (one,) = photographs(export(tmp_path / "whole", 1), tmp_path / "store")
    assert one.asked[ABSENT] == []
    assert masks.decode_rle(one.asked[PHRASE][0], height_px=SIDE_PX, width_px=SIDE_PX).sum() == 400
    with pytest.raises(SystemExit, match=r"1\.png has no outline"):
        photographs(export(tmp_path / "silent", 1, silent=1), tmp_path / "store")


def test_fewer_photographs_are_among_more_of_one_seed(tmp_path: Path):
    pictures = photographs(export(tmp_path / "export", 9), tmp_path / "store")
    few, more = chosen(pictures, 3, seed=1), chosen(pictures, 8, seed=1)
    assert few == more[:3]
    assert few != chosen(pictures, 3, seed=0)
    with pytest.raises(SystemExit, match="10 photographs were asked for"):
        chosen(pictures, 10, seed=1)


def test_the_snapshot_is_one_that_the_trainer_reads(tmp_path: Path):
    from bench.few_labels import freeze, without_fuses

    pictures = photographs(export(tmp_path / "export", 2), tmp_path / "store")
    scenes = without_fuses(7_000_000, 2, tmp_path / "store")
    freeze(tmp_path / "cell" / "snapshot", {"train": [*pictures, *scenes], "val": [], "holdout": []})
    pairs = Snapshot(tmp_path / "cell" / "snapshot").split("train").trainable
    assert sorted((pair.phrase, pair.is_positive) for pair in pairs) == [
        *[(ABSENT, False)] * 2,
        *[(PHRASE, False)] * 2,
        *[(PHRASE, True)] * 2,
    ]
    assert stored((tmp_path / "export" / "0.png").read_bytes(), tmp_path / "store") in {pair.image for pair in pairs}
