"""The sentence that an evaluation ends in, from figures with their intervals; numbers by hand."""

import pytest

from toolbox.presets import PRESETS, readiness

PILOT, PRODUCTION = (PRESETS[name].plain(name) for name in ("pilot", "production"))


def figure(value: float | None, low: float | None = None, high: float | None = None) -> dict:
    return {"value": value, "n": 100, "low": low, "high": high}


def measures(ap=(0.7, 0.65, 0.75), precision=(0.9, 0.86, 0.93), recall=(0.9, 0.86, 0.93), **more) -> dict:
    n = {"pairs": 200, "positives": 80, "negatives": 120, "instances": 100, "scenes": 150}
    objects = {"0.5": {"precision": figure(*precision), "recall": figure(*recall)}}
    return {"n": n, "figures": {"ap": figure(*ap)}, "objects_at": objects, "undefined": {}} | more


def test_presets_ask_what_was_agreed():
    asked = [(one["ap"], one["precision"], one["recall"]) for one in (PILOT, PRODUCTION)]
    assert asked == [(0.6, 0.7, 0.8), (0.75, 0.85, 0.9)]


def test_all_reached_for_certain_is_deploy():
    answer = readiness(measures(), PILOT)
    assert (answer.verdict, [one.state for one in answer.demands]) == ("deploy", ["met", "met", "met"])


def test_figure_that_is_reached_but_not_for_certain_asks_for_labels():
    """mAP 0.65 in [0.55, 0.75], 0.6 asked: its lower end, 0.1 away, has to come to 0.05: 4 times the 80 positives."""
    answer = readiness(measures(ap=(0.65, 0.55, 0.75)), PILOT)
    assert answer.verdict == "label"
    assert answer.sentence.startswith("Label about 240 more pairs with the thing: that would settle mAP")


def test_figure_that_is_below_but_not_for_certain_asks_for_labels_too():
    """Precision 0.6 in [0.5, 0.75], 0.7 asked: the upper end, 0.15 away, has to come to 0.1: 2.25 times 200 pairs."""
    answer = readiness(measures(precision=(0.6, 0.5, 0.75)), PILOT)
    assert "about 250 more pairs, with and without the thing" in answer.sentence


def test_two_kinds_are_asked_for_together_and_the_greater_need_of_a_kind_counts():
    answer = readiness(measures(ap=(0.65, 0.55, 0.75), recall=(0.9, 0.75, 0.95), precision=(0.6, 0.5, 0.75)), PILOT)
    words = "about 240 more pairs with the thing and about 250 more pairs, with and without the thing"
    assert words in answer.sentence
    assert "that would settle mAP and precision and recall for a pilot" in answer.sentence


def test_figure_that_is_below_for_certain_is_the_training_s_fault_whatever_else_is_open():
    answer = readiness(measures(ap=(0.65, 0.55, 0.75), recall=(0.6, 0.5, 0.7)), PILOT)
    assert answer.verdict == "check"
    assert "recall is below 80 for certain" in answer.sentence


@pytest.mark.parametrize(("kind", "words"), [("positives", "with the thing"), ("negatives", "without the thing")])
def test_few_pairs_of_a_kind_tell_nothing_however_good_they_look(kind, words):
    few = measures()
    few["n"][kind] = 12
    answer = readiness(few, PILOT)
    assert answer.verdict == "label"
    assert f"Label 18 more pairs {words}" in answer.sentence


def test_what_is_not_defined_is_no_zero():
    answer = readiness(measures(ap=(None, None, None), undefined={"ap": "No mask was drawn."}), PILOT)
    assert answer.demands[0].words == "mAP is not known. No mask was drawn."
    assert (answer.verdict, "mAP can't be told" in answer.sentence) == ("label", True)


def test_nobody_is_told_to_label_for_a_hair_s_breadth():
    """0.8001 of 0.8 is taken for half a point away: (0.05 / 0.005)² - 1 times 80."""
    answer = readiness(measures(recall=(0.8001, 0.7501, 0.85)), PILOT)
    assert answer.demands[2].more_pairs == pytest.approx(99 * 80, abs=1)


def test_val_which_chose_the_checkpoint_never_says_deploy():
    assert readiness(measures(), PILOT, split="holdout").verdict == "deploy"
    answer = readiness(measures(), PILOT, split="val")
    assert answer.verdict != "deploy"
    assert "val can't tell" in answer.sentence
