"""CGF1 on sets small enough for pencil and paper; the epsilons of the definition are written out."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from tests.train.saco_documents import document, found, image, rectangle, truth
from training import cgf1
from training.masks import MaskError

BOX = (2, 2, 10, 10)
HALF = (2, 2, 10, 5)  # IoU with BOX is exactly 0.5
OTHER = (16, 3, 8, 8)


def figures(gts: Any, preds: list[dict[str, Any]], iou_type: str = "segm") -> dict[str, float]:
    metrics = cgf1.evaluate(gts, preds, iou_type).metrics
    return {key.removeprefix(f"cgF1_eval_{iou_type}_"): value for key, value in metrics.items()}


def f1(tp: int, fp: int, fn: int) -> float:
    precision, recall = tp / (tp + fp + 1e-4), tp / (tp + fn + 1e-4)
    return 2 * precision * recall / (precision + recall + 1e-4)


def one_positive_one_negative() -> dict[str, Any]:
    return document([image(1), image(2)], [truth(1, BOX)])


def test_perfect_pair_and_true_negative_give_almost_one() -> None:
    got = figures(one_positive_one_negative(), [found(1, BOX)])
    assert got["IL_MCC"] == pytest.approx(1 / (1 + 1e-6), abs=1e-12)
    assert got["cgF1"] == pytest.approx(f1(1, 0, 0) / (1 + 1e-6), abs=1e-12)


def test_iou_equal_to_the_threshold_counts() -> None:
    got = figures(one_positive_one_negative(), [found(1, HALF)])
    assert got["positive_micro_F1@0.5"] == pytest.approx(f1(1, 0, 0), abs=1e-12)
    assert got["positive_micro_F1@0.75"] == 0.0
    assert got["positive_micro_F1"] == pytest.approx(f1(1, 0, 0) / 10, abs=1e-12)


def test_score_equal_to_the_threshold_is_kept_and_a_hair_less_is_not() -> None:
    assert figures(one_positive_one_negative(), [found(1, BOX, score=0.5)])["IL_recall"] > 0.99
    assert figures(one_positive_one_negative(), [found(1, BOX, score=0.4999999)])["IL_recall"] == 0.0


def test_missed_positive_still_costs_its_instances() -> None:
    gt = document([image(1), image(2), image(3)], [truth(1, BOX), truth(2, BOX), truth(2, OTHER)])
    got = figures(gt, [found(1, BOX)])
    assert got["positive_micro_F1@0.5"] == pytest.approx(f1(1, 0, 2), abs=1e-12)
    assert got["positive_macro_F1@0.5"] == pytest.approx(f1(1, 0, 0), abs=1e-12)  # the macro one does skip it


def test_firing_on_a_negative_hurts_mcc_and_plain_precision_but_not_pmf1() -> None:
    gt = document([image(1), image(2), image(3)], [truth(1, BOX)])
    got = figures(gt, [found(1, BOX), found(2, OTHER)])
    assert got["positive_micro_F1@0.5"] == pytest.approx(f1(1, 0, 0), abs=1e-12)
    assert got["F1@0.5"] == pytest.approx(f1(1, 1, 0), abs=1e-12)
    assert got["IL_MCC"] == pytest.approx(1 / (2 * 1 * 2 * 1) ** 0.5, abs=1e-6)
    assert got["IL_FPR"] == pytest.approx(0.5, abs=1e-6)


def test_matching_maximises_total_iou_and_not_the_best_pair_first() -> None:
    # The wide prediction overlaps both; greedy would give it the left truth (0.8) and leave the right one unmatched.
    gt = document([image(1), image(2)], [truth(1, (0, 0, 8, 10)), truth(1, (4, 0, 10, 10))])
    wide, left = found(1, (0, 0, 10, 10)), found(1, (0, 0, 5, 10))
    assert cgf1.evaluate(gt, [wide, left]).raw["TP"][0] == 1
    assert cgf1.evaluate(gt, [found(1, (3, 0, 8, 10)), left]).raw["TP"][0] == 2


def test_duplicate_of_a_found_instance_is_a_false_positive() -> None:
    raw = cgf1.evaluate(one_positive_one_negative(), [found(1, BOX), found(1, BOX)]).raw
    assert (raw["TP"][0], raw["pmFP"][0], raw["FN"][0]) == (1, 1, 0)


def test_correlation_below_zero_gives_a_negative_cgf1() -> None:
    gt = document([image(1), image(2), image(3)], [truth(1, BOX), truth(2, BOX)])
    got = figures(gt, [found(1, BOX), found(3, BOX)])
    expected = (1 * 0 - 1 * 1) / ((2 * 2 * 1 * 1) ** 0.5 + 1e-6)
    assert got["IL_MCC"] == pytest.approx(expected, abs=1e-12)
    assert got["cgF1"] == pytest.approx(f1(1, 0, 1) * expected, abs=1e-12)


@pytest.mark.parametrize("positives", [0, 2], ids=["only negatives", "only positives"])
def test_one_sided_set_scores_zero_even_when_perfect(positives: int) -> None:
    pairs = range(1, 3)
    gt = document([image(pair) for pair in pairs], [truth(pair, BOX) for pair in pairs][:positives])
    got = figures(gt, [found(pair, BOX) for pair in pairs][:positives])
    assert got["cgF1"] == 0.0
    assert got["IL_MCC"] == 0.0


def test_macro_f1_is_minus_one_where_no_positive_was_predicted() -> None:
    got = figures(one_positive_one_negative(), [])
    assert got["positive_macro_F1"] == -1.0
    assert got["positive_macro_F1@0.75"] == -1.0
    assert got["cgF1"] == 0.0


def test_crowd_is_no_truth_and_a_prediction_on_it_is_wrong() -> None:
    gt = document([image(1), image(2)], [truth(1, BOX), truth(1, OTHER, iscrowd=1), truth(2, BOX, iscrowd=1)])
    raw = cgf1.evaluate(gt, [found(1, BOX), found(1, OTHER)]).raw
    assert (raw["TP"][0], raw["pmFP"][0], raw["FN"][0]) == (1, 1, 0)
    assert raw["IL_TN"] == 1


def test_pair_that_is_not_exhaustive_is_not_evaluated() -> None:
    gt = document([image(1), image(2), image(3, is_instance_exhaustive=0)], [truth(1, BOX)])
    assert cgf1.evaluate(gt, [found(1, BOX), found(3, BOX)]).raw["num_eval_pairs"] == 2


def test_nothing_exhaustive_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="is_instance_exhaustive"):
        cgf1.evaluate(document([image(1, is_instance_exhaustive=0)], []), [])


def test_pair_excluded_by_a_second_annotator_is_not_evaluated() -> None:
    first, second = document([image(1), image(2)], []), document([image(1), image(2, is_instance_exhaustive=0)], [])
    assert cgf1.evaluate([first, second], []).pairs.pair_ids == [1]


def test_oracle_takes_the_truth_that_suits_the_prediction_best() -> None:
    poor, good = document([image(1)], [truth(1, OTHER)]), document([image(1)], [truth(1, BOX)])
    assert cgf1.evaluate([poor, good], [found(1, BOX)]).raw["TP"][9] == 1


def test_oracle_tie_keeps_the_earlier_truth() -> None:
    one, two = document([image(1)], [truth(1, BOX)]), document([image(1)], [truth(1, BOX), truth(1, OTHER)])
    assert cgf1.evaluate([one, two], []).raw["FN"][0] == 1
    assert cgf1.evaluate([two, one], []).raw["FN"][0] == 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_oracle_prefers_agreement_that_nothing_is_there(order: tuple[int, int]) -> None:
    truths = [document([image(1)], [truth(1, BOX)]), document([image(1)], [])]
    assert cgf1.evaluate([truths[index] for index in order], []).raw["IL_TN"] == 1


def test_annotation_of_an_unlisted_category_vanishes() -> None:
    gt = document([image(1), image(2)], [truth(1, BOX, category_id=7)])
    raw = cgf1.evaluate(gt, [found(2, BOX, category_id=7)]).raw
    assert raw["IL_TN"] == 2


def test_prediction_for_an_unknown_pair_is_ignored() -> None:
    assert cgf1.evaluate(one_positive_one_negative(), [found(99, BOX)]).raw["FP"][0] == 0


def test_mask_of_another_size_never_matches() -> None:
    small = found(1, BOX, segmentation=rectangle(1, 1, 5, 5, size=(10, 15)))
    raw = cgf1.evaluate(one_positive_one_negative(), [small]).raw
    assert (raw["TP"][0], raw["pmFP"][0], raw["FN"][0]) == (0, 1, 1)


def test_empty_mask_with_a_score_still_says_present() -> None:
    blank = found(2, BOX, segmentation=rectangle(0, 0, 0, 0))
    assert cgf1.evaluate(one_positive_one_negative(), [blank]).raw["IL_FP"] == 1


def test_polygon_and_uncompressed_truths_equal_the_compressed_one() -> None:
    polygon = [[2, 2, 12, 2, 12, 12, 2, 12]]
    runs = [2 * 20 + 2] + [10, 10] * 9 + [10, (30 - 11) * 20 - 12 + 0]
    uncompressed = {"size": [20, 30], "counts": runs}
    for segmentation in (polygon, uncompressed):
        gt = document([image(1), image(2)], [truth(1, BOX, segmentation=segmentation)])
        assert cgf1.evaluate(gt, [found(1, BOX)]).raw["TP"] == [1] * 10


def test_boxes_are_compared_in_the_units_they_come_in() -> None:
    pixels, normalised = truth(1, BOX, bbox=list(BOX)), truth(1, BOX)
    assert figures(document([image(1), image(2)], [pixels]), [found(1, BOX)], "bbox")["positive_micro_F1"] > 0.99
    assert figures(document([image(1), image(2)], [normalised]), [found(1, BOX)], "bbox")["positive_micro_F1"] == 0.0


def test_prediction_with_a_mask_alone_gets_its_box_from_it() -> None:
    gt = document([image(1), image(2)], [truth(1, BOX, bbox=list(BOX))])
    without_box = {key: value for key, value in found(1, BOX).items() if key != "bbox"}
    assert figures(gt, [without_box], "bbox")["positive_micro_F1"] > 0.99


def without(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}


@pytest.mark.parametrize("key", ["iscrowd", "image_id", "category_id", "segmentation"])
def test_annotation_without_a_key_is_a_key_error(key: str) -> None:
    gt = one_positive_one_negative()
    gt["annotations"] = [without(gt["annotations"][0], key)]
    with pytest.raises(KeyError, match=key):
        cgf1.evaluate(gt, [found(1, BOX)])


@pytest.mark.parametrize("key", ["score", "image_id", "category_id"])
def test_prediction_without_a_key_is_a_key_error(key: str) -> None:
    with pytest.raises(KeyError, match=key):
        cgf1.evaluate(one_positive_one_negative(), [without(found(1, BOX), key)])


@pytest.mark.parametrize("key", ["is_instance_exhaustive", "id", "height"])
def test_image_without_a_key_is_a_key_error(key: str) -> None:
    gt = one_positive_one_negative()
    gt["images"] = [without(row, key) for row in gt["images"]]
    with pytest.raises(KeyError, match=key):
        cgf1.evaluate(gt, [found(1, BOX)])


def test_prediction_for_a_pair_that_one_truth_lacks_is_an_assertion_error() -> None:
    with pytest.raises(AssertionError, match="lacks it"):
        cgf1.evaluate([one_positive_one_negative(), document([image(2)], [])], [found(1, BOX)])


def test_rle_that_would_crash_the_codec_is_refused() -> None:
    hostile = found(1, BOX, segmentation={"size": [20, 30], "counts": "".join(["oooo0"] * 50)})
    with pytest.raises(MaskError):
        cgf1.evaluate(one_positive_one_negative(), [hostile])


def test_inputs_are_left_as_they_were() -> None:
    gt, preds = one_positive_one_negative(), [without(found(1, BOX), "bbox")]
    before = repr((gt, preds))
    cgf1.evaluate(gt, preds)
    assert repr((gt, preds)) == before


def test_memory_does_not_grow_with_the_pairs() -> None:
    """Ten times the pairs; the masks that are made of their polygons are let go of again."""
    peaks, polygon = [], [[2, 2, 12, 2, 12, 12, 2, 12]]
    for pairs in (64, 640):
        ids = range(1, pairs + 1)
        gt = document(
            [image(pair) for pair in ids], [truth(pair, BOX, segmentation=polygon) for pair in ids for _ in range(20)]
        )
        predictions = [found(pair, BOX) for pair in ids for _ in range(20)]
        tracemalloc.start()
        cgf1.count_pairs([gt], predictions)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


def test_counts_taken_twice_weigh_twice() -> None:
    pairs = cgf1.evaluate(one_positive_one_negative(), [found(1, HALF)]).pairs
    assert cgf1.raw_counts(pairs.take([0, 0, 1]))["TP"][0] == 2
