"""All figures of one model on one set; expected numbers by hand, by pycocotools, or from tables of exact intervals."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.train.saco_documents import document, found, image, rectangle, truth
from training import masks
from training.measures import measured
from training.measures.figures import redrawn

BOX = (2, 2, 10, 10)
OTHER = (16, 3, 8, 8)


def worked_case() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """21 images, 6 positive; at 0.9 all of them fire and 5 of the 15 negatives."""
    gt = document([image(pair) for pair in range(1, 22)], [truth(pair, BOX) for pair in range(1, 7)])
    fires = [found(pair, BOX, score=0.95) for pair in range(1, 12)]
    quiet = [found(pair, BOX, score=0.6) for pair in range(12, 15)]
    return gt, fires + quiet


def values(figures: dict[str, Any], *names: str) -> list[float | None]:
    return [figures[name]["value"] for name in names]


def test_the_worked_case_of_21_images_at_a_score_of_nine_tenths() -> None:
    at = measured(*worked_case())["at"]["0.9"]
    assert at["confusion"] == {"tp": 6, "fp": 5, "fn": 0, "tn": 10}
    told = values(at, "accuracy", "precision", "recall", "specificity", "f1")
    assert [round(100 * value, 1) for value in told if value is not None] == [76.2, 54.5, 100.0, 66.7, 70.6]
    assert [at[name]["n"] for name in ("accuracy", "precision", "recall", "specificity")] == [21, 11, 6, 15]


def test_shares_have_the_exact_interval_of_the_tables() -> None:
    """Clopper and Pearson: 5 of 15 is 11.8 to 61.6 %, 6 of 6 is 54.1 to 100 %."""
    got = measured(*worked_case())
    alarms = got["at"]["0.9"]["specificity"]
    assert [round(1 - alarms[key], 3) for key in ("high", "low")] == [0.118, 0.616]
    recall = got["figures"]["il_recall"]
    assert (recall["n"], recall["high"]) == (6, 1.0)
    assert recall["low"] == pytest.approx(0.541, abs=1e-3)


def test_pairs_of_one_scene_widen_the_interval() -> None:
    gt, predictions = worked_case()
    alone = measured(gt, predictions)["figures"]["il_fpr"]
    for row in gt["images"][6:]:
        row["scene"] = f"scene {row['id'] // 5}"
    alike = measured(gt, predictions)["figures"]["il_fpr"]
    assert alike["value"] == alone["value"] == pytest.approx(8 / 15, abs=1e-6)
    assert alike["high"] - alike["low"] > 1.2 * (alone["high"] - alone["low"])


def test_official_figures_stand_beside_their_numbers() -> None:
    got = measured(*worked_case())
    assert got["n"] == {"pairs": 21, "positives": 6, "negatives": 15, "instances": 6, "scenes": 21}
    mcc = (6 * 7 - 8 * 0) / (14 * 6 * 15 * 7) ** 0.5
    assert got["figures"]["il_mcc"]["value"] == pytest.approx(mcc, abs=1e-5)
    assert got["figures"]["pmf1"]["value"] == pytest.approx(1.0, abs=1e-3)
    assert got["figures"]["cgf1"]["value"] == pytest.approx(mcc, abs=1e-3)
    assert got["figures"]["cgf1"]["low"] < mcc < got["figures"]["cgf1"]["high"]


def test_perfect_masks_without_negatives_are_not_judged_instead_of_worthless() -> None:
    got = measured(document([image(1), image(2)], [truth(1, BOX), truth(2, BOX)]), [found(1, BOX), found(2, BOX)])
    assert values(got["figures"], "cgf1", "il_mcc", "il_fpr") == [None, None, None]
    assert got["figures"]["pmf1"]["value"] > 0.999
    assert "2 of the judged pairs are positive and 0 negative" in got["undefined"]["cgf1"]
    assert got["undefined"]["il_fpr"] == "No judged pair is negative."


def test_a_set_of_negatives_alone_has_no_precision_and_no_instance_to_find() -> None:
    got = measured(document([image(1), image(2)], []), [])
    assert values(got["figures"], "cgf1", "pmf1", "ap", "ar", "ap_box") == [None] * 5
    assert got["figures"]["il_fpr"] == {"value": 0.0, "n": 2, "low": 0.0, "high": pytest.approx(0.842, abs=1e-3)}
    assert got["at"]["0.5"]["f1"] == {"value": None, "n": 0, "low": None, "high": None}
    assert json.dumps(got, allow_nan=False)


def test_too_few_scenes_and_scenes_that_are_all_alike_get_no_interval() -> None:
    gt = document([image(pair) for pair in range(1, 5)], [truth(1, BOX), truth(2, BOX)])
    few = measured(gt, [found(1, BOX)])
    assert few["figures"]["cgf1"]["low"] is None
    assert few["undefined"]["cgf1"] == (
        "No interval: scenes with positives are 2; with fewer than 5 nothing can be redrawn."
    )
    alike = measured(document([image(pair) for pair in range(1, 13)], [truth(pair, BOX) for pair in range(1, 7)]), [])
    assert alike["figures"]["pmf1"] == {"value": 0.0, "n": 6, "low": None, "high": None}
    assert "the same figure" in alike["undefined"]["pmf1"]


def random_world(pairs: int, seed: int = 3) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Rectangles of all three sizes; some are missed, some doubled, some invented, and scores are often equal."""
    rng, size = np.random.default_rng(seed), (150, 200)
    images, annotations, predictions = [], [], []
    for pair in range(1, pairs + 1):
        images.append(image(pair, height=size[0], width=size[1], text_input=f"thing {pair % 2}", source=f"{pair % 3}"))
        for _ in range(int(rng.poisson(3)) if pair % 3 else 0):
            width, height = (int(rng.choice([12, 60, 110])) + int(value) for value in rng.integers(0, 20, 2))
            box = (int(rng.integers(0, 200 - width)), int(rng.integers(0, 150 - height)), width, height)
            shape = rectangle(*box, size=size)
            annotations.append(truth(pair, box, segmentation=shape))
            for _ in range(int(rng.choice([0, 1, 1, 2]))):
                moved = (
                    max(0, box[0] - int(rng.integers(0, 5))),
                    box[1],
                    width,
                    max(5, height - int(rng.integers(0, 9))),
                )
                score = round(float(rng.uniform(0.1, 1)), 1)
                predictions.append(found(pair, moved, score, segmentation=rectangle(*moved, size=size)))
        if pair % 4 == 0:
            predictions.append(found(pair, BOX, 0.7, segmentation=rectangle(*BOX, size=size)))
    return document(images, annotations), predictions


def coco_stats(gt: dict[str, Any], predictions: list[dict[str, Any]], kind: str) -> np.ndarray:
    """pycocotools as its own demo calls it; boxes and areas of the truth in pixels, as COCO has them."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        rows = [
            {**row, "bbox": masks.box_xywh(row["segmentation"]), "area": float(area_of(row["segmentation"]))}
            for row in gt["annotations"]
        ]
        coco.dataset = {**gt, "annotations": rows}
        coco.createIndex()
        results = [{key: row[key] for key in row if kind == "bbox" or key != "bbox"} for row in predictions]
        results = [{key: row[key] for key in row if kind == "segm" or key != "segmentation"} for row in results]
        judge = COCOeval(coco, coco.loadRes(results), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return np.asarray(judge.stats)


def area_of(rle: dict[str, Any]) -> int:
    return int(masks.decode_rle(rle, height_px=rle["size"][0], width_px=rle["size"][1]).sum())


def test_average_precision_is_what_pycocotools_says() -> None:
    gt, predictions = random_world(40)
    figures = measured(gt, predictions)["figures"]
    by_mask, by_box = coco_stats(gt, predictions, "segm"), coco_stats(gt, predictions, "bbox")
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    assert values(figures, *names) == pytest.approx(by_mask[:6].tolist(), abs=1e-6)
    assert values(figures, "ar", "ar_small", "ar_medium", "ar_large") == pytest.approx(by_mask[8:].tolist(), abs=1e-6)
    assert values(figures, "ap_box", "ap50_box") == pytest.approx(by_box[:2].tolist(), abs=1e-6)
    assert all(figures[name]["low"] < figures[name]["value"] < figures[name]["high"] for name in names)


def test_each_concept_and_source_is_judged_as_if_it_were_alone() -> None:
    gt, predictions = random_world(40)
    by = measured(gt, predictions)["by"]
    assert (set(by["concept"]), set(by["source"])) == ({"thing 0", "thing 1"}, {"0", "1", "2"})
    kept = {row["id"] for row in gt["images"] if row["source"] == "1"}
    alone = {
        **gt,
        "images": [row for row in gt["images"] if row["id"] in kept],
        "annotations": [row for row in gt["annotations"] if row["image_id"] in kept],
    }
    of_it = [row for row in predictions if row["image_id"] in kept]
    stats = coco_stats(alone, of_it, "segm")
    part = by["source"]["1"]
    assert values(part["figures"], "ap", "ap50", "ar") == pytest.approx(stats[[0, 1, 8]].tolist(), abs=1e-6)
    assert (part["n"]["pairs"], part["n"]["instances"]) == (len(kept), len(alone["annotations"]))
    assert "Not judged" in by["source"]["0"]["undefined"]["cgf1"]  # every third pair, the negatives, is of source 0


def test_sizes_are_of_objects_and_in_pixels() -> None:
    gt, predictions = random_world(40)
    sizes = measured(gt, predictions)["by"]["size"]
    areas = [area_of(row["segmentation"]) for row in gt["annotations"]]
    expected = [sum(area < 1024 for area in areas), sum(1024 <= area < 9216 for area in areas)]
    assert [sizes[name]["n"]["instances"] for name in ("small", "medium")] == expected
    assert sum(size["n"]["instances"] for size in sizes.values()) == len(areas)
    assert sizes["small"]["figures"]["recall"]["n"] == expected[0]


def test_objects_are_counted_at_each_threshold_as_the_metric_matches_them() -> None:
    gt = document([image(1), image(2)], [truth(1, BOX), truth(1, OTHER)])
    got = measured(gt, [found(1, BOX, 0.8), found(1, OTHER, 0.6), found(2, BOX, 0.75)])
    assert got["objects_at"]["0.5"]["confusion"] == {"tp": 2, "fp": 1, "fn": 0}
    assert got["objects_at"]["0.7"]["confusion"] == {"tp": 1, "fp": 1, "fn": 1}
    assert got["objects_at"]["0.9"]["confusion"] == {"tp": 0, "fp": 0, "fn": 2}
    assert values(got["objects_at"]["0.7"], "precision", "recall", "f1") == [0.5, 0.5, 0.5]
    curve = {point["threshold"]: point for point in got["precision_recall"]}
    assert (curve[0.65]["precision"], curve[0.65]["recall"], curve[0.9]["precision"]) == (0.5, 0.5, None)
    assert (
        min(measured(gt, [], keep_score=0.3)["precision_recall"], key=lambda one: one["threshold"])["threshold"] == 0.3
    )


def test_scores_of_hits_and_of_false_ones_lie_in_their_bins() -> None:
    """The second on the same object is false, however well it lies."""
    gt = document([image(1), image(2)], [truth(1, BOX)])
    got = measured(gt, [found(1, BOX, 0.62), found(1, BOX, 0.97), found(2, OTHER, 0.31)])["scores"]
    assert [got["edges"][place] for place, count in enumerate(got["true_positives"]) if count] == [0.95]
    assert [got["edges"][place] for place, count in enumerate(got["false_positives"]) if count] == [0.3, 0.6]


def test_the_threshold_for_a_wanted_recall_and_the_alarms_it_costs() -> None:
    """Ten positives fire at 0.95, 0.90 ... 0.50; nine of them at 0.55 and more. Negatives at 0.6 and 0.2."""
    pairs = range(1, 13)
    gt = document([image(pair) for pair in pairs], [truth(pair, BOX) for pair in range(1, 11)])
    fires = [found(pair, BOX, round(1 - 0.05 * pair, 2)) for pair in range(1, 11)]
    wanted = measured(gt, [*fires, found(11, BOX, 0.6), found(12, BOX, 0.2)])["operating"]
    assert [one["recall"] for one in wanted] == [0.9, 0.95, 0.99]
    assert [one["threshold"] for one in wanted] == [0.55, 0.5, 0.5]
    assert (wanted[0]["false_alarms"]["value"], wanted[0]["false_alarms"]["n"]) == (0.5, 2)
    # Of a binomial of 10 at 0.9, 6 or fewer are 1.3 % and 7 or fewer 7.0 %: the seventh score bounds it from above;
    # all ten are 35 %, so that none bounds it from below.
    assert (wanted[0]["low"], wanted[0]["high"]) == (None, 0.65)
    missed = measured(gt, fires[:8])["operating"][0]
    assert (missed["threshold"], missed["false_alarms"]["value"]) == (None, None)


def test_presence_and_its_calibration() -> None:
    """Two of four pairs at 0.75 are positive, none of two at 0.05: (4 x 0.25 + 2 x 0.05) / 6 off on average."""
    gt = document([image(pair) for pair in range(1, 7)], [truth(1, BOX), truth(2, BOX)])
    presence = dict.fromkeys((1, 2, 3, 4), 0.75) | dict.fromkeys((5, 6), 0.05)
    got = measured(gt, [], presence=presence)
    assert got["calibration"]["ece"] == pytest.approx(1.1 / 6, abs=1e-6)
    assert [(one["n"], one["share"]) for one in got["calibration"]["bins"] if one["n"]] == [(2, 0.0), (4, 0.5)]
    assert (got["presence"]["positives"][15], got["presence"]["negatives"][15]) == (2, 2)
    assert got["presence"]["negatives"][1] == 2
    assert measured(gt, [])["calibration"] is None


def test_masks_that_came_unedited_from_a_model_are_judged_apart() -> None:
    """The model finds what it drew itself and misses what people drew."""
    origins = {1: ("proposal", False), 2: ("exemplar", False), 3: ("proposal", True), 4: ("drawn", False)}
    gt = document([image(pair) for pair in range(1, 9)], [truth(pair, BOX) for pair in range(1, 6)])
    for row in gt["annotations"][:4]:
        row["origin"], row["edited"] = origins[row["image_id"]]
    drawn = measured(gt, [found(1, BOX), found(2, BOX)])["drawn"]
    assert drawn["model_unedited"]["n"] == {"pairs": 5, "positives": 2, "negatives": 3, "instances": 2, "scenes": 5}
    assert drawn["model_unedited"]["figures"]["cgf1"]["value"] == pytest.approx(1.0, abs=1e-3)
    assert drawn["people"]["n"]["positives"] == 2
    assert drawn["people"]["figures"]["pmf1"]["value"] == 0.0
    assert "drawn" not in measured(document([image(1), image(2)], [truth(1, BOX)]), [])


def test_pairs_that_are_not_exhaustive_judge_nothing_here_either() -> None:
    gt, predictions = worked_case()
    gt["images"].append(image(22, is_instance_exhaustive=0))
    got = measured(gt, [*predictions, found(22, BOX, 0.99)])
    assert (got["n"]["pairs"], sum(got["scores"]["false_positives"])) == (21, 8)
    assert got["figures"]["ap"]["value"] == measured(*worked_case())["figures"]["ap"]["value"]


def test_a_pair_with_more_objects_than_pycocotools_counts_at_once() -> None:
    """coco_mask.area() of pycocotools 2.0.11 fails on a list of more than 255."""
    gt = document([image(1), image(2)], [truth(1, (number % 30, number // 30, 1, 1)) for number in range(300)])
    got = measured(gt, [found(1, (0, 0, 1, 1))])
    assert (got["n"]["instances"], got["by"]["size"]["small"]["n"]["instances"]) == (300, 300)
    assert got["objects_at"]["0.5"]["confusion"] == {"tp": 1, "fp": 0, "fn": 299}


def test_a_threshold_for_a_wanted_recall_is_never_rounded_up() -> None:
    """At 0.512346 the one at 0.5123456789 would no longer fire."""
    gt = document([image(pair) for pair in range(1, 8)], [truth(pair, BOX) for pair in range(1, 7)])
    got = measured(gt, [found(pair, BOX, 0.5123456789) for pair in range(1, 7)])["operating"]
    assert [one["threshold"] for one in got] == [0.512345] * 3


def test_more_scenes_are_redrawn_fewer_rounds_at_a_time() -> None:
    held = []

    def first(sums_RK: np.ndarray) -> np.ndarray:
        held.append(len(sums_RK))
        return sums_RK[:, 0]

    scenes = 400_000
    redrawn(first, np.arange(scenes, dtype=np.float64)[:, None], np.arange(scenes), seed=0, rounds=60)
    assert sum(held) == 60
    assert max(held) * scenes <= 20_000_000


def test_a_crowd_s_broken_mask_is_refused_before_pycocotools_sees_it() -> None:
    broken = {**rectangle(*BOX), "counts": rectangle(*BOX)["counts"] + "0" * 8}
    gt = document([image(1), image(2)], [truth(1, BOX), truth(1, BOX, iscrowd=1, segmentation=broken)])
    with pytest.raises(masks.MaskError):
        measured(gt, [found(1, BOX)])


def test_boxes_are_of_the_mask_whatever_the_prediction_says() -> None:
    """Official dumps tell boxes as shares of the image."""
    gt = document([image(1), image(2)], [truth(1, BOX)])
    figures = measured(gt, [found(1, BOX, bbox=[0.05, 0.05, 0.2, 0.2])])["figures"]
    assert figures["ap_box"]["value"] == 1.0
