"""The gate's decision from counts: no model, numbers by hand."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from toolbox.training_settings import Policy
from training.cgf1 import PairCounts
from training.errors import Refused
from training.gate import Judged, decide

POLICY = Policy(bootstrap=400)


def judged(gt: list[int], dt: list[int], tp: list[int], presence: float = 0.5) -> Judged:
    """tp holds at every threshold."""
    counts = PairCounts(list(range(len(gt))), np.array(gt), np.array(dt), np.repeat(np.array(tp)[:, None], 10, axis=1))
    return Judged(counts, np.full(len(gt), presence))


def images(count: int) -> list[str]:
    return [f"image {index}" for index in range(count)]


def world(found: int, false_alarms: int, positives: int = 60, negatives: int = 60) -> Judged:
    """Finds the first `found` positives perfectly, misses the rest, fires on the first `false_alarms` negatives."""
    hits = [1] * found + [0] * (positives - found)
    alarms = [1] * false_alarms + [0] * (negatives - false_alarms)
    return judged([1] * positives + [0] * negatives, hits + alarms, hits + [0] * negatives)


def verdict(champion: Judged, challenger: Judged, policy: Policy = POLICY, seed: int = 0) -> dict:
    return decide(champion, challenger, images(len(champion.counts)), policy, seed)


def test_clear_gain_without_new_false_alarms_is_promoted() -> None:
    answer = verdict(world(30, 6), world(50, 4))
    assert answer["decision"] == "promote"
    assert answer["bootstrap"]["low"] > 0
    assert answer["holdout"] == {"pairs": 120, "positives": 60, "negatives": 60, "images": 120}


def test_champion_against_itself_is_not_promoted() -> None:
    assert verdict(world(30, 6), world(30, 6))["decision"] == "reject"


def test_champion_against_itself_is_not_promoted_even_by_a_careless_policy() -> None:
    careless = Policy(min_gain_points=0.0, bootstrap=100, max_fpr_rise=1.0)
    assert verdict(world(30, 6), world(30, 6), careless)["decision"] != "promote"


def test_worse_challenger_is_rejected_with_the_fall_in_words() -> None:
    answer = verdict(world(50, 4), world(30, 6))
    assert answer["decision"] == "reject"
    assert "falls by" in answer["reasons"][0]


def test_one_new_false_alarm_blocks_a_clear_gain() -> None:
    answer = verdict(world(30, 4), world(55, 5))
    assert answer["decision"] == "reject"
    assert answer["delta_cgf1"] > 0.1
    assert answer["hard_negatives"]["challenger_fpr"] > answer["hard_negatives"]["champion_fpr"]
    assert "too many false alarms" in answer["reasons"][2]


def test_policy_may_allow_false_alarms_to_rise() -> None:
    assert verdict(world(30, 4), world(55, 5), Policy(bootstrap=400, max_fpr_rise=0.3))["decision"] == "promote"


def test_gain_that_may_be_chance_is_undecided() -> None:
    answer = verdict(world(30, 4), world(31, 4), Policy(bootstrap=400, min_gain_points=0.5))
    assert answer["decision"] == "undecided"
    assert answer["bootstrap"]["low"] <= 0
    assert "may be chance" in answer["reasons"][1]


def test_gain_below_the_policy_is_undecided() -> None:
    assert verdict(world(30, 6), world(50, 4), Policy(bootstrap=400, min_gain_points=60))["decision"] == "undecided"


def test_hard_negatives_are_those_on_which_either_model_fires() -> None:
    champion = judged([1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], presence=0.7)
    challenger = judged([1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0], presence=0.6)
    alarms = verdict(champion, challenger)["hard_negatives"]
    assert (alarms["pairs"], alarms["champion_fpr"], alarms["challenger_fpr"]) == (2, 0.5, 0.5)
    assert (alarms["champion_mean_presence"], alarms["challenger_mean_presence"]) == pytest.approx((0.7, 0.6))


def test_delta_is_the_difference_of_the_two_cgf1() -> None:
    # champion: TP 1 FN 1, IL 1/0/2/1 -> F1 2/3, MCC (1*2)/sqrt(1*2*2*3); challenger: perfect.
    champion = judged([1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0])
    challenger = judged([1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0])
    expected = 1 - (2 / 3) * 2 / 12**0.5
    assert verdict(champion, challenger)["delta_cgf1"] == pytest.approx(expected, abs=2e-4)


def test_pairs_of_one_image_are_drawn_together() -> None:
    """Sixty copies of one image's two pairs are no sixty times the evidence."""
    champion, challenger = world(30, 0), world(40, 0)
    alone = decide(champion, challenger, images(120), POLICY, 0)["bootstrap"]
    clustered = decide(champion, challenger, [f"{index // 20}" for index in range(120)], POLICY, 0)["bootstrap"]
    assert clustered["high"] - clustered["low"] > 1.3 * (alone["high"] - alone["low"])


def test_same_seed_gives_the_same_bounds() -> None:
    bounds = [verdict(world(30, 6), world(36, 5), seed=seed)["bootstrap"] for seed in (3, 3, 4)]
    assert bounds[0] == bounds[1] != bounds[2]


def test_bootstrap_bounds_match_a_plain_loop() -> None:
    champion, challenger = world(30, 6), world(40, 5)
    from training import cgf1

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


def test_different_pairs_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="same pairs"):
        decide(world(3, 1, 5, 5), world(3, 1, 5, 6), images(10), POLICY)


@pytest.mark.parametrize("module", ["training.cgf1", "training.gate", "training.masks"])
def test_metric_and_gate_need_no_torch(module: str) -> None:
    script = f"import sys, {module}; sys.exit('torch' in sys.modules or 'django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
