"""What settling a pair is expected to teach: each part by hand."""

import pytest

from annotator.queue.worth import entropy_bits, gain, mask_doubt, objects_in_doubt

NOTHING = {"presence": 0.5, "scores": (), "stability": None, "stability_below": 0.75, "apart": 0.0}


def test_doubt_of_a_yes_or_no_is_one_bit_at_a_half_and_none_at_certainty():
    assert entropy_bits(0.5) == pytest.approx(1.0)
    assert entropy_bits(0.25) == pytest.approx(0.811278, abs=1e-6)
    assert entropy_bits(0.0) == entropy_bits(1.0) == 0.0


def test_objects_in_doubt_lie_between_the_scores():
    assert objects_in_doubt((0.95, 0.7, 0.5, 0.3, 0.29)) == 3


def test_outline_is_doubted_by_how_far_it_lies_below_the_limit():
    assert mask_doubt(0.25, 0.75) == pytest.approx(2 / 3)
    assert mask_doubt(0.8, 0.75) == mask_doubt(None, 0.75) == 0.0


def test_gain_adds_the_doubts():
    assert gain(**NOTHING) == pytest.approx(1.0)
    # 1 bit + 0.5 x 2 objects + 0.2 apart + 0.5 x 2/3 of an outline
    all_of_it = NOTHING | {"scores": (0.6, 0.4), "stability": 0.25, "apart": 0.2}
    assert gain(**all_of_it) == pytest.approx(1 + 1 + 0.2 + 1 / 3)
