"""The gate's decision from counts: no model, numbers by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from toolbox.gate_policy import Policy
from training import cgf1
from training.cgf1 import PairCounts
from training.errors import Refused
from training.gate import Asked, Judged, decide

POLICY = Policy(bootstrap=400)
LENIENT = replace(POLICY, alarm_margin=1.0, recall_margin=1.0)  # only the gain counts


def judged(gt: list[int], dt: list[int], tp: list[int], presence: float = 0.5) -> Judged:
    """tp holds at every threshold."""
    counts = PairCounts(list(range(len(gt))), np.array(gt), np.array(dt), np.repeat(np.array(tp)[:, None], 10, axis=1))
    return Judged(counts, np.full(len(gt), presence))


def own_scenes(count: int, concept: str = "chicken") -> Asked:
    return Asked([f"scene {index}" for index in range(count)], [concept] * count)


def world(found: int, false_alarms: int, positives: int = 60, negatives: int = 60) -> Judged:
    """Finds the first `found` positives perfectly, misses the rest, fires on the first `false_alarms` negatives."""
    hits = [1] * found + [0] * (positives - found)
    alarms = [1] * false_alarms + [0] * (negatives - false_alarms)
    return judged([1] * positives + [0] * negatives, hits + alarms, hits + [0] * negatives)


def verdict(champion: Judged, challenger: Judged, policy: Policy = POLICY, **more) -> dict:
    return decide(champion, challenger, more.pop("asked", own_scenes(len(champion.counts))), policy, **more)


def rule(answer: dict, name: str) -> dict:
    return next(one for one in answer["rules"] if one["name"] == name)


def test_clear_gain_without_new_false_alarms_is_promoted() -> None:
    answer = verdict(world(100, 20, 200, 200), world(160, 18, 200, 200))
    assert answer["decision"] == "promote"
    assert answer["bootstrap"]["low"] > 0
    assert {one["state"] for one in answer["rules"]} == {"met"}
    assert answer["holdout"] == {
        **{"pairs": 400, "positives": 200, "negatives": 200},
        **{"scenes": 400, "positive_scenes": 200, "negative_scenes": 200},
    }


@pytest.mark.parametrize("policy", [POLICY, replace(LENIENT, min_gain_points=0.0, level=0.5)])
def test_champion_against_itself_is_not_promoted(policy: Policy) -> None:
    assert verdict(world(30, 6), world(30, 6), policy)["decision"] == "reject"


def test_worse_challenger_is_rejected_with_the_fall_in_words() -> None:
    answer = verdict(world(50, 4), world(30, 6))
    assert answer["decision"] == "reject"
    assert "falls by" in rule(answer, "gain")["words"]


def test_three_false_alarms_instead_of_two_among_771_negatives_do_not_refuse_four_points() -> None:
    champion, challenger = world(300, 2, 429, 771), world(330, 3, 429, 771)
    answer = verdict(champion, challenger)
    assert answer["decision"] == "promote"
    assert rule(answer, "alarms")["rise"] == pytest.approx(1 / 771)
    assert "fires 2 times, the challenger 3 times" in rule(answer, "alarms")["words"]


def test_tripled_false_alarms_are_rejected_whatever_the_gain() -> None:
    answer = verdict(world(250, 10, 500, 500), world(450, 30, 500, 500))
    assert answer["decision"] == "reject"
    assert rule(answer, "alarms")["state"] == "broken"
    assert (rule(answer, "alarms")["more"], rule(answer, "alarms")["fewer"]) == (20, 0)


def test_few_negatives_leave_a_clear_gain_undecided_and_say_how_many_more_would_do() -> None:
    answer = verdict(world(30, 0), world(55, 0))
    alarms = rule(answer, "alarms")
    assert answer["decision"] == "undecided"
    # Without a single alarm the bound is z² / (n + z²): 2 points are reached at n = 132.6.
    assert alarms["high"] == pytest.approx(1.6449**2 / (60 + 1.6449**2), abs=1e-4)
    assert alarms["more_pairs"] == 133 - 60
    assert "about 73 more negatives" in alarms["words"]


def test_a_policy_may_allow_no_false_alarm_more() -> None:
    strict = replace(POLICY, alarms="none_more")
    assert rule(verdict(world(30, 4), world(55, 5), strict), "alarms")["state"] == "broken"
    assert rule(verdict(world(30, 4), world(55, 4), strict), "alarms")["state"] == "met"


def test_a_cap_on_false_alarms_holds_for_certain_fails_for_certain_or_stays_open() -> None:
    capped = replace(LENIENT, alarm_cap=0.05)
    states = [rule(verdict(world(30, 0, 60, 100), world(55, n, 60, 100), capped), "alarm_cap") for n in (0, 3, 20)]
    # Clopper-Pearson of 0 in 100 ends at 1 - 0.025 ** (1 / 100).
    assert states[0]["high"] == pytest.approx(1 - 0.025 ** (1 / 100), abs=1e-9)
    assert [one["state"] for one in states] == ["met", "open", "broken"]


def test_a_floor_of_recall_holds_for_certain_fails_for_certain_or_stays_open() -> None:
    floored = replace(LENIENT, recall_floor=0.85)
    states = [rule(verdict(world(20, 2, 100, 60), world(n, 2, 100, 60), floored), "recall_floor") for n in (99, 87, 50)]
    assert [one["state"] for one in states] == ["met", "open", "broken"]


def test_more_positives_missed_wholly_are_rejected_although_masks_are_better() -> None:
    # The champion finds all at half of the thresholds, the challenger nine tenths of them perfectly.
    half = world(300, 5, 300, 300)
    half.counts.tp_PT[:, 5:] = 0
    answer = verdict(half, world(240, 5, 300, 300))
    assert answer["delta_cgf1"] > 0.05
    assert (answer["decision"], rule(answer, "misses")["state"]) == ("reject", "broken")


def test_gain_that_may_be_chance_is_undecided() -> None:
    answer = verdict(world(30, 4), world(31, 4), replace(LENIENT, min_gain_points=0.5))
    assert answer["decision"] == "undecided"
    assert answer["bootstrap"]["low"] <= 0
    assert "may be chance" in rule(answer, "certainty")["words"]
    assert rule(answer, "certainty")["more_pairs"] > 0


def test_gain_below_the_policy_is_undecided() -> None:
    assert verdict(world(30, 6), world(50, 4), replace(LENIENT, min_gain_points=60))["decision"] == "undecided"


def test_each_earlier_look_asks_for_more_certainty() -> None:
    certain = [rule(verdict(world(30, 4), world(40, 4), LENIENT, looks=n), "certainty") for n in (0, 1, 2.5, 19)]
    assert [one["level"] for one in certain] == pytest.approx([0.05 / 2, 0.05 / 6, 0.05 / (3.5 * 4.5), 0.05 / 420])
    lows = [one["low"] for one in certain]
    assert lows == sorted(lows, reverse=True)
    assert (certain[0]["state"], certain[3]["state"]) == ("met", "open")


def test_a_concept_that_became_worse_for_certain_is_named() -> None:
    concepts = ["chicken"] * 120 + ["duck"] * 120 + ["goose"] * 20
    champion = [world(30, 2), world(55, 2), world(5, 0, 10, 10)]
    challenger = [world(60, 2), world(30, 2), world(9, 0, 10, 10)]
    asked = Asked([str(index) for index in range(260)], concepts)
    answer = verdict(_together(champion), _together(challenger), LENIENT, asked=asked)
    assert (answer["decision"], rule(answer, "concepts")["worse"]) == ("reject", ["duck"])
    assert rule(answer, "concepts")["not_judged"] == ["goose"]
    assert set(rule(answer, "concepts")["judged"]) == {"chicken", "duck"}


def _together(parts: list[Judged]) -> Judged:
    columns = [np.concatenate([getattr(one.counts, name) for one in parts]) for name in ("n_gt_P", "n_dt_P", "tp_PT")]
    return Judged(PairCounts(list(range(len(columns[0]))), *columns), np.full(len(columns[0]), 0.5))


def test_il_mcc_above_the_model_as_shipped_is_asked_where_the_policy_says_so() -> None:
    asks = replace(LENIENT, above_baseline=True)
    champion, challenger = world(30, 4), world(50, 4)
    assert rule(verdict(champion, challenger, asks, baseline=world(10, 20)), "baseline")["state"] == "met"
    assert rule(verdict(champion, challenger, asks, baseline=world(50, 4)), "baseline")["state"] == "open"
    assert verdict(champion, challenger, asks, baseline=world(60, 0))["decision"] == "reject"


def test_hard_negatives_are_those_on_which_either_model_fires() -> None:
    champion = judged([1, 0, 0, 0] * 10, [1, 1, 0, 0] * 10, [1, 0, 0, 0] * 10, presence=0.7)
    challenger = judged([1, 0, 0, 0] * 10, [1, 0, 1, 0] * 10, [1, 0, 0, 0] * 10, presence=0.6)
    alarms = verdict(champion, challenger)["hard_negatives"]
    assert (alarms["pairs"], alarms["champion_fpr"], alarms["challenger_fpr"]) == (20, 0.5, 0.5)
    assert (alarms["champion_mean_presence"], alarms["challenger_mean_presence"]) == pytest.approx((0.7, 0.6))


def test_delta_is_the_difference_of_the_two_cgf1() -> None:
    # champion: TP 1 FN 1, IL 1/0/2/1 -> F1 2/3, MCC (1*2)/sqrt(1*2*2*3); challenger: perfect. Ten times over.
    champion = judged([1, 1, 0, 0] * 10, [1, 0, 0, 0] * 10, [1, 0, 0, 0] * 10)
    challenger = judged([1, 1, 0, 0] * 10, [1, 1, 0, 0] * 10, [1, 1, 0, 0] * 10)
    expected = 1 - (2 / 3) * 2 / 12**0.5
    assert verdict(champion, challenger)["delta_cgf1"] == pytest.approx(expected, abs=2e-4)


def test_pairs_of_one_scene_are_drawn_together() -> None:
    """Frames of one scene are no ten times the evidence."""
    champion, challenger = world(30, 0), world(40, 0)
    alone = verdict(champion, challenger)["bootstrap"]
    asked = Asked([f"{index // 5}" for index in range(120)], ["chicken"] * 120)
    clustered = verdict(champion, challenger, asked=asked)["bootstrap"]
    assert clustered["high"] - clustered["low"] > 1.3 * (alone["high"] - alone["low"])


def test_frames_of_a_scene_count_once_for_false_alarms_too() -> None:
    asked = Asked([f"{index // 10}" for index in range(400)], ["chicken"] * 400)
    frames = rule(verdict(world(100, 0, 200, 200), world(160, 0, 200, 200), asked=asked), "alarms")
    assert frames["design_effect"] == 10
    assert frames["high"] == pytest.approx(1.6449**2 / (20 + 1.6449**2), abs=1e-4)


@pytest.mark.parametrize(("positives", "negatives"), [(9, 60), (60, 9), (3, 3)])
def test_few_scenes_are_refused_by_name(positives: int, negatives: int) -> None:
    with pytest.raises(Refused, match=f"positives show {positives} scenes and its negatives {negatives}") as refused:
        verdict(world(0, 0, positives, negatives), world(positives, 0, positives, negatives))
    assert refused.value.code == "too_few_scenes"


def test_sixty_pairs_of_one_image_are_refused() -> None:
    asked = Asked(["the image"] * 120, ["chicken"] * 120)
    with pytest.raises(Refused, match="show 1 scenes"):
        verdict(world(0, 0), world(60, 0), asked=asked)


def test_same_seed_gives_the_same_bounds() -> None:
    bounds = [verdict(world(30, 6), world(36, 5), seed=seed)["bootstrap"] for seed in (3, 3, 4)]
    assert bounds[0] == bounds[1] != bounds[2]


def test_bootstrap_bounds_match_a_plain_loop() -> None:
    champion, challenger = world(30, 6), world(40, 5)
    rng, gains = np.random.default_rng(9), []
    for _ in range(600):
        drawn = rng.integers(0, 120, 120)
        cgf1_of = [cgf1.summarise(j.counts.take(drawn))["cgF1_eval_segm_cgF1"] for j in (champion, challenger)]
        gains.append(cgf1_of[1] - cgf1_of[0])
    bounds = verdict(champion, challenger, Policy(bootstrap=4000))["bootstrap"]
    assert (bounds["low"], bounds["high"]) == pytest.approx(tuple(np.quantile(gains, [0.025, 0.975])), abs=0.03)


@pytest.mark.parametrize(("gt", "word"), [([1, 1], "negatives"), ([0, 0], "positives")])
def test_one_sided_holdout_is_refused_by_name(gt: list[int], word: str) -> None:
    one_sided = judged(gt, [1, 0], [0, 0])
    with pytest.raises(Refused, match=f"without {word}") as refused:
        verdict(one_sided, one_sided)
    assert refused.value.code == "ungateable_holdout"


def test_different_pairs_or_truths_cannot_be_compared() -> None:
    for other in (world(3, 1, 50, 51), judged([2] * 50 + [0] * 50, [0] * 100, [0] * 100)):
        with pytest.raises(Refused) as refused:
            decide(world(3, 1, 50, 50), other, own_scenes(100), POLICY)
        assert refused.value.code == "other_pairs"


def test_best_of_twenty_noise_copies_is_not_promoted() -> None:
    """Twenty challengers that are the champion with other luck meet one holdout, each told how many came before."""
    rng = np.random.default_rng(5)
    champion = _noisy(rng)
    found = [verdict(champion, _noisy(rng), replace(LENIENT, bootstrap=1000), looks=n)["decision"] for n in range(20)]
    assert "promote" not in found


def _noisy(rng: np.random.Generator) -> Judged:
    hits, alarms = rng.random(150) < 0.8, rng.random(150) < 0.05
    return judged([1] * 150 + [0] * 150, [*hits.astype(int), *alarms.astype(int)], [*hits.astype(int), *[0] * 150])


@pytest.mark.parametrize("module", ["training.cgf1", "training.gate", "training.masks", "training.intervals"])
def test_metric_and_gate_need_no_torch(module: str) -> None:
    script = f"import sys, {module}; sys.exit('torch' in sys.modules or 'django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
