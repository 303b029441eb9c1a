"""Bounds of what a holdout says: closed forms, and how often they hold over drawn worlds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.intervals import PairedRise, holm, level_of_look, paired_rise, proportion

Z = 1.6448536269514722  # of 95 %, one-sided


def test_without_a_discordant_pair_the_bound_is_that_of_a_single_proportion() -> None:
    for of in (20, 100, 771):
        assert PairedRise(0, 0, of, 1.0).upper(0.95) == pytest.approx(Z**2 / (of + Z**2), rel=1e-6)


def test_with_many_pairs_the_bound_is_that_of_the_normal_approximation() -> None:
    more, fewer, of = 400, 300, 100_000
    rise = (more - fewer) / of
    spread = np.sqrt((more + fewer) / of - rise**2) / np.sqrt(of)
    found = PairedRise(more, fewer, of, 1.0)
    assert (found.lower(0.95), found.upper(0.95)) == pytest.approx((rise - Z * spread, rise + Z * spread), abs=2e-5)


@pytest.mark.parametrize(("of", "first", "second"), [(200, 0.02, 0.02), (500, 0.02, 0.04), (60, 0.05, 0.05)])
def test_one_time_in_twenty_the_true_rise_lies_above_the_bound(of: int, first: float, second: float) -> None:
    rng, outside = np.random.default_rng(0), 0
    for _ in range(1000):
        found = paired_rise(rng.random(of) < first, rng.random(of) < second, np.arange(of))
        outside += found.upper(0.95) < second - first
    assert 0.03 <= outside / 1000 <= 0.07


def test_alike_frames_of_a_scene_count_as_one() -> None:
    rng, outside = np.random.default_rng(1), 0
    scene_P = np.repeat(np.arange(60), 10)
    for _ in range(500):
        first, second = (np.repeat(rng.random(60) < 0.2, 10) for _ in range(2))
        found = paired_rise(first, second, scene_P)
        assert found.design_effect == pytest.approx(10, rel=0.05)
        outside += found.upper(0.95) < 0
    assert outside / 500 <= 0.075


def test_pairs_that_would_do_are_counted_up_to_the_margin() -> None:
    assert PairedRise(0, 0, 60, 1.0).pairs_until_below(0.02, 0.95) == 133  # z² (1 - 0.02) / 0.02 = 132.6
    assert PairedRise(0, 0, 500, 1.0).pairs_until_below(0.02, 0.95) == 500
    assert PairedRise(5, 0, 100, 1.0).pairs_until_below(0.02, 0.95) is None


def test_exact_interval_of_a_proportion() -> None:
    nothing, own = np.zeros(100, bool), np.arange(100)
    assert proportion(nothing, own, 0.95) == pytest.approx((0.0, 1 - 0.025**0.01))
    assert proportion(~nothing, own, 0.95) == pytest.approx((0.025**0.01, 1.0))
    some = own < 30
    exact = stats.binomtest(30, 100).proportion_ci(0.95, method="exact")
    assert proportion(some, own, 0.95) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert proportion(nothing[:0], own[:0], 0.95) == (0.0, 1.0)


def test_proportion_of_alike_frames_is_as_uncertain_as_that_of_their_scenes() -> None:
    of_scenes = proportion(np.arange(20) < 10, np.arange(20), 0.95)
    of_frames = proportion(np.repeat(np.arange(20) < 10, 10), np.repeat(np.arange(20), 10), 0.95)
    assert of_frames == pytest.approx(of_scenes, abs=0.01)
    assert proportion(np.zeros(200, bool), np.repeat(np.arange(20), 10), 0.95)[1] == pytest.approx(1 - 0.025**0.05)


def test_holm_stops_at_the_first_that_stands() -> None:
    # 0.01 <= 0.05/3; 0.02 <= 0.05/2; 0.06 > 0.05.
    assert holm({"a": 0.02, "b": 0.01, "c": 0.06}, 0.05) == {"a", "b"}
    assert holm({"a": 0.02, "b": 0.02, "c": 0.001}, 0.05) == {"a", "b", "c"}
    assert holm({"a": 0.03, "b": 0.04, "c": 0.02}, 0.05) == set()


def test_all_looks_together_spend_the_level_and_no_more() -> None:
    spent = [level_of_look(0.05, earlier) for earlier in range(20)]
    assert spent[0] == pytest.approx(0.025)
    assert sum(spent) == pytest.approx(0.05 * (1 - 1 / 21))
