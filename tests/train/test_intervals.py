"""Bounds of what a holdout says: closed forms, and how often they hold over drawn worlds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.intervals import PairedRise, bounds_of_quantile, holm, level_of_look, paired_rise, proportion

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


def bounds(scores: np.ndarray, share: float, scenes: np.ndarray | None = None) -> tuple[float | None, float | None]:
    reaches = scores >= np.sort(scores)[::-1][int(np.ceil(share * len(scores))) - 1]
    return bounds_of_quantile(scores, reaches, np.arange(len(scores)) if scenes is None else scenes, share, 0.95)


def test_threshold_of_a_wanted_recall_lies_between_its_bounds_as_often_as_they_say() -> None:
    """Scores even in 0 to 1: a share of 0.9 reaches 0.1, one of 0.99 reaches 0.01."""
    rng = np.random.default_rng(5)
    for share, count in ((0.9, 40), (0.9, 200), (0.99, 40), (0.99, 600)):
        held = 0
        for _ in range(400):
            low, high = bounds(rng.random(count), share)
            held += (low or 0.0) <= 1 - share <= (1.0 if high is None else high)
        assert held / 400 >= 0.94, (share, count)


def test_threshold_has_no_bound_where_so_few_positives_know_none() -> None:
    """0.99 to the power of 367 is 2.501 %, to that of 368 is 2.476 %: fewer may all lie above it by chance."""
    scores = np.linspace(1, 0.1, 368)
    assert bounds(scores[:367], 0.99)[0] is None
    assert bounds(scores, 0.99)[0] == pytest.approx(0.1)


def test_positives_that_come_ten_to_a_scene_bound_a_threshold_as_a_tenth_of_them() -> None:
    """600 bound that of 0.99; 60 scenes of ten alike do not, as 60 do not."""
    scores = np.linspace(1, 0.1, 600)
    assert bounds(scores, 0.99)[0] is not None
    assert bounds(scores, 0.99, np.arange(600) // 10)[0] is None
