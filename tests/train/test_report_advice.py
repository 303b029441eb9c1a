"""What a report advises, from figures alone: which factor holds CGF1 back, and what a model is not good for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.made_evaluations import figure, made_measures
from toolbox.training_settings import SETTABLE
from training.reporting.advice import advise, operating_words
from training.reporting.charts import by_threshold
from training.reporting.figures import told_share
from training.reporting.summary import summary_of


def measures_with(pmf1: float, il_mcc: float, **recall: Any) -> dict[str, Any]:
    """A holdout of 1,000 + 1,000 pairs whose CGF1 is known to a few points."""
    measures = made_measures()
    measures["n"] = {"pairs": 2000, "positives": 1000, "negatives": 1000, "instances": 1000, "scenes": 2000}
    measures["figures"] |= {"pmf1": figure(pmf1, 1000), "il_mcc": figure(il_mcc, 2000)}
    measures["figures"]["cgf1"] = figure(pmf1 * il_mcc, 2000, pmf1 * il_mcc - 0.02, pmf1 * il_mcc + 0.02)
    measures["at"]["0.5"] = (
        {**measures["at"]["0.5"], "recall": {"n": 1000, **recall}} if recall else measures["at"]["0.5"]
    )
    return measures


def of_kind(kind: str, measures: dict[str, Any], **more: Any) -> list[Any]:
    return [one for one in advise(measures, **more) if one.kind == kind]


def test_good_masks_with_bad_verdicts_ask_for_negatives():
    (found,) = of_kind("negatives", measures_with(0.82, 0.41))
    assert found.settings == {"loss_presence": "higher", "positive_share": "lower", "blend_pairs": "higher"}
    assert "pmF1 is 82.0, IL_MCC 41.0" in found.words
    assert of_kind("masks", measures_with(0.82, 0.41)) == []


def test_bad_masks_with_good_verdicts_ask_for_mask_losses():
    (found,) = of_kind("masks", measures_with(0.41, 0.82))
    assert found.settings == {"loss_mask_dice": "higher", "loss_mask_focal": "higher", "mask_pairs": "higher"}
    assert of_kind("negatives", measures_with(0.41, 0.82)) == []


def test_two_good_factors_ask_for_nothing_and_two_bad_ones_for_labels():
    assert [one.kind for one in advise(measures_with(0.8, 0.8)) if one.level == "act"] == []
    assert [one.kind for one in advise(measures_with(0.3, 0.3)) if one.level == "act"] == ["labels"]


def test_every_setting_that_is_named_can_be_set():
    every = [measures_with(*two) for two in ((0.8, 0.4), (0.4, 0.8), (0.3, 0.3))]
    named = {key for measures in every for one in advise(measures) for key in one.settings}
    assert len(named) == 7
    assert named <= set(SETTABLE)


@pytest.mark.parametrize(
    ("recall", "level", "begins"),
    [
        (
            {"value": 0.85, "low": 0.82, "high": 0.88},
            "stop",
            "Not for unattended use: it finds 85.0 % [82.0, 88.0] of 1,000",
        ),
        ({"value": 0.91, "low": 0.88, "high": 0.93}, "stop", "Not for unattended use yet"),
        ({"value": 0.95, "low": 0.93, "high": 0.97}, "know", "It finds 95.0 %"),
        ({"value": None, "low": None, "high": None}, "stop", "Not for unattended use: no positive pair"),
    ],
)
def test_recall_below_the_policy_s_floor_or_not_above_it_for_certain_is_not_for_unattended_use(recall, level, begins):
    (found,) = of_kind("recall", measures_with(0.8, 0.8, **recall), recall_floor=0.9)
    assert (found.level, found.words[: len(begins)]) == (level, begins)


def test_without_a_floor_nobody_is_told_that_it_is_safe():
    (found,) = of_kind("recall", measures_with(0.8, 0.8))
    assert "sets no floor for recall" in found.words


def test_a_wanted_recall_has_a_threshold_with_its_interval_and_price():
    row = {"recall": 0.95, "threshold": 0.42, "low": 0.36, "high": 0.5, "false_alarms": figure(0.03, 500, 0.02, 0.05)}
    assert operating_words(row) == (
        "For a recall of 95 % take instances from a score of 0.42 on (95 %: 0.36 to 0.50); it then fires on "
        "3.0 % [2.0, 5.0] of 500 negatives."
    )
    assert "from the lowest score that was kept on" in operating_words({**row, "threshold": None})


def test_thresholds_are_told_two_or_three_places_long_and_never_rounded_up():
    row = {"recall": 0.95, "threshold": 0.4296, "low": 0.29, "high": 0.5678, "false_alarms": figure(0.03, 500)}
    assert "from a score of 0.429 on (95 %: 0.29 to 0.567)" in operating_words(row)
    measures = measures_with(0.8, 0.8) | {"operating": [row]}
    assert by_threshold(measures)["rows"][0][1] == "0.429 [0.29, 0.567]"


def test_where_no_positive_was_judged_no_threshold_is_blamed():
    measures = measures_with(0.8, 0.8)
    measures["n"]["positives"] = 0
    measures["operating"] = [{"recall": 0.9, "threshold": None, "low": None, "high": None}]
    (found,) = of_kind("operating", measures)
    assert found.words == "No positive pair was judged: no threshold can be told for a wanted recall."
    assert by_threshold(measures)["rows"] == [["90 %", "not judged", "–"]]


def test_a_wide_interval_asks_for_pairs_of_other_scenes():
    measures = measures_with(0.7, 0.66)
    measures["figures"]["cgf1"] = figure(0.46, 60, 0.37, 0.55)
    (found,) = of_kind("more_pairs", measures)
    assert "spans 37 to 55" in found.words


def test_only_a_gain_that_passed_is_said_to_be_inflated():
    measures = measures_with(0.8, 0.8)
    assert len(of_kind("selection", measures, decision={"decision": "promote", "delta_cgf1": 0.04})) == 1
    assert of_kind("selection", measures, decision={"decision": "reject", "delta_cgf1": 0.04}) == []
    assert of_kind("selection", measures) == []


def test_what_forbids_comes_first():
    levels = [one.level for one in advise(measures_with(0.3, 0.8, value=0.5, low=0.4, high=0.6), recall_floor=0.9)]
    assert levels == sorted(levels, key=["stop", "act", "know"].index)
    assert levels[:2] == ["stop", "act"]


def test_two_and_three_false_alarms_of_many_are_a_share_of_all_negatives_not_of_each_other():
    assert told_share(2 / 771, 0.0003, 0.0093, 771) == "0.3 % [0.0, 0.9] of 771"
    assert told_share(3 / 771, 0.0008, 0.0113, 771) == "0.4 % [0.1, 1.1] of 771"
    assert told_share(2 / 3, 0.2, 0.9, 3) == "2 of 3"


@pytest.mark.parametrize(
    ("decision", "gain", "verdict", "inflated"),
    [
        ("reject", -0.04, "The gate did not pass it.", False),
        ("undecided", 0.0, "The gate is undecided: the holdout is too small to say.", False),
        ("promote", 0.04, "The gate passed it.", True),
    ],
)
def test_first_page_of_a_worse_an_equal_and_a_better_challenger(decision, gain, verdict, inflated):
    told = {"decision": decision, "delta_cgf1": gain, "bootstrap": {"low": gain - 0.01, "high": gain + 0.01}}
    measures = measures_with(0.8, 0.8)
    summary = summary_of(measures, advise(measures, decision=told), role="challenger", decision=told)
    assert summary["verdict"] == verdict
    assert f"{100 * gain:+.1f} points [{100 * gain - 1:+.1f}, {100 * gain + 1:+.1f}]" in summary["gain"]
    assert ("selection inflates it" in summary["gain"]) is inflated
    champion = summary_of(measures, [], role="champion", decision=told)
    assert (champion["gain"], champion["verdict"][:30]) == ("", "This is the model that served,")


def test_first_page_of_a_model_without_negatives_says_that_nothing_was_judged():
    measures = measures_with(0.8, 0.8)
    measures["n"]["negatives"] = 0
    summary = summary_of(measures, advise(measures), role="", decision=None)
    assert summary["verdict"] == "CGF1 is not judged: no negatives."
    assert {row["name"]: row["told"] for row in summary["figures"]}["il_fpr"] == "not judged: no negatives"


def test_first_page_of_a_worthless_model_says_what_is_wrong_and_of_a_good_one_that_nothing_is():
    bad, good = measures_with(0.1, 0.3), measures_with(0.8, 0.8)
    verdicts = [summary_of(one, advise(one), role="", decision=None)["verdict"] for one in (bad, good)]
    assert verdicts[0].startswith("Neither its masks nor its verdicts are good")
    assert verdicts[1] == "Nothing in its figures speaks against it."
