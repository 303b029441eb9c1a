"""The forecast: points on a known curve give it back, flat ones say that labels won't help, few say what is missing."""

import pytest

from annotator.home.forecast import Measured, curve_fit, forecast_of, needed_for, stalled


def on_curve(*places: float, ceiling: float = 0.8, headroom: float = 0.4, half: float = 4.0, width: float = 0.01):
    """y = 0.8 - 0.4 / (1 + x / 4): 0.4 at the start, 0.6 after four hours."""
    told = [(x, ceiling - headroom / (1 + x / half)) for x in places]
    return [Measured(x, y, y - width, y + width) for x, y in told]


def flat(*places: float, y: float = 0.5, width: float = 0.01):
    return [Measured(x, y, y - width, y + width) for x in places]


def asked(points, target: float, judged=None):
    return forecast_of(by_hours=points, by_labels=points, judged=judged or points, target=target)


def test_points_on_a_known_curve_give_it_back():
    curve = curve_fit(on_curve(0, 1, 2, 4, 8, 16))
    assert (curve.ceiling, curve.headroom) == pytest.approx((0.8, 0.4), abs=1e-4)
    assert curve.half == pytest.approx(4.0, rel=1e-3)
    assert curve.at(12.0) == pytest.approx(0.7, abs=1e-4)


def test_hours_to_a_target_are_where_the_curve_meets_it():
    needed = needed_for(on_curve(0, 1, 2, 4, 8, width=0.001), 0.7)
    assert needed.x == pytest.approx(12.0, rel=1e-2)
    assert 9 < needed.low < 12 < needed.high < 16
    assert needed.ceiling_low < 0.8 < needed.ceiling_high


def test_wider_intervals_make_a_wider_forecast():
    sure, unsure = (needed_for(on_curve(0, 1, 2, 4, 8, width=width), 0.7) for width in (0.001, 0.06))
    assert unsure.low < sure.low
    assert unsure.high is None or unsure.high > sure.high
    assert unsure.share < sure.share == 1.0


def test_a_point_with_a_wide_interval_counts_little():
    [*others, last] = on_curve(0, 1, 2, 4, 8)
    astray = Measured(last.x, 0.3, 0.0, 1.0)
    assert curve_fit([*others, astray]).at(4.0) == pytest.approx(0.6, abs=0.01)


def test_target_above_where_the_curve_ends_won_t_be_reached():
    told = asked(on_curve(0, 1, 2, 4, 8, 16, 64, width=0.002), 0.9)
    assert (told.verdict, told.hours.x, told.hours.high) == ("never", None, None)


def test_target_between_is_told_and_one_below_is_reached():
    points = on_curve(0, 1, 2, 4, 8)
    assert asked(points, 0.7).verdict == "told"
    assert asked(points, 0.6).verdict == "reached"


def test_flat_points_say_that_more_labels_won_t_help():
    told = asked(flat(0, 1, 2, 4, 8), 0.6)
    assert told.verdict in ("never", "stalled")
    assert told.stall.gain == pytest.approx(0.0)


def test_last_rounds_that_gained_nothing_have_stalled_though_they_were_kept_back():
    rising = on_curve(0, 1, 2, 4)
    worse = flat(5, 6, 7, y=0.59)
    found = stalled([*rising, *worse])
    assert (found.rounds, found.gain) == (3, pytest.approx(-0.01))
    # Half-widths of 0.01 both: the difference is sure to sqrt(2) of that.
    assert (found.low, found.high) == pytest.approx((-0.01 - 0.014142, -0.01 + 0.014142), abs=1e-5)
    assert asked(rising, 0.75, judged=[*rising, *worse]).verdict == "stalled"
    assert stalled([*rising, *flat(5, 6, y=0.59), *flat(7, y=0.62)]) is None


@pytest.mark.parametrize("points", [[], on_curve(0, 4), [*on_curve(0, 4), *on_curve(4)]])
def test_fewer_than_three_places_make_no_curve(points):
    told = asked(points, 0.7)
    assert (told.verdict, told.hours, told.labels) == ("too_few", None, None)
    assert told.points == len({one.x for one in points})
