"""The oracle that stands in for the annotator: where it clicks, when it accepts, what it costs."""

import numpy as np

from annotator.operations.loop.oracle import deepest_point, settle_object


def square(side: int = 20, *, top: int = 4, left: int = 4, size: int = 9) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    mask[top : top + size, left : left + size] = True
    return mask


def test_deepest_point_of_a_square_is_the_middle_of_its_middle_pixel():
    point = deepest_point(square(top=4, left=6, size=9))
    assert (point.x, point.y, point.label) == (10.5, 8.5, 1)


def test_edge_of_the_image_counts_as_border():
    half = np.zeros((9, 20), bool)
    half[:, :9] = True
    assert deepest_point(half).x == 4.5


def test_right_mask_at_the_first_click_costs_one_click():
    truth = square()
    drawn = settle_object(truth, lambda points: truth)
    assert (drawn.origin, len(drawn.points), drawn.seconds) == ("click", 1, 3.0)


def test_missed_part_gets_a_positive_click_and_the_corrected_mask_is_accepted():
    truth = square()
    half = truth.copy()
    half[:, 9:] = False
    drawn = settle_object(truth, lambda points: half if len(points) == 1 else truth)
    correction = drawn.points[1]
    assert (drawn.origin, drawn.seconds, correction.label) == ("click", 6.0, 1)
    assert (truth & ~half)[int(correction.y), int(correction.x)]


def test_surplus_gets_a_negative_click():
    truth = square()
    drawn = settle_object(truth, lambda points: np.ones_like(truth) if len(points) == 1 else truth)
    assert drawn.points[1].label == 0
    assert not truth[int(drawn.points[1].y), int(drawn.points[1].x)]


def test_model_that_never_gets_it_right_is_drawn_by_hand_after_four_clicks():
    truth = square()
    drawn = settle_object(truth, lambda points: np.zeros_like(truth))
    assert (drawn.origin, len(drawn.points), drawn.seconds) == ("drawn", 4, 4 * 3.0 + 30.0)
    assert np.array_equal(drawn.mask_HW, truth)
