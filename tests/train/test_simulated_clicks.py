"""Where the next click goes, against looking at every pixel one by one."""

from __future__ import annotations

import numpy as np
import pytest

from mlbackend.model.prompts import Point
from training.simulated_clicks import next_click


def by_looking(truth: np.ndarray, found: np.ndarray) -> tuple[float, int]:
    """The greatest distance from a wrong pixel to one that is not of its kind (beyond the border there are such), and
    its label."""
    height, width = truth.shape
    best = (0.0, 1)
    for label, region in ((1, truth & ~found), (0, found & ~truth)):
        for y, x in np.argwhere(region):
            others = [(a, b) for a in range(-1, height + 1) for b in range(-1, width + 1)]
            away = min(
                (y - a) ** 2 + (x - b) ** 2
                for a, b in others
                if not (0 <= a < height and 0 <= b < width and region[a, b])
            )
            best = max(best, (away**0.5, label))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_click_lies_in_the_deepest_wrong_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, found = (
        np.kron(rng.random((4, 5)) < share, np.ones((3, 3), dtype=bool)) for share in (0.5, 0.2 + 0.05 * seed)
    )
    depth, label = by_looking(truth, found)
    click = next_click(truth, found)
    assert click is not None
    assert click.label == label
    region = truth & ~found if click.label else found & ~truth
    alone = np.zeros_like(region)
    alone[int(click.y), int(click.x)] = True
    assert region[alone].all()
    own = min(
        ((click.y - 0.5 - a) ** 2 + (click.x - 0.5 - b) ** 2) ** 0.5
        for a in range(-1, 13)
        for b in range(-1, 16)
        if not (0 <= a < 12 and 0 <= b < 15 and region[a, b])
    )
    assert own == pytest.approx(depth)


def test_first_click_lies_in_the_middle_of_the_object() -> None:
    truth = np.zeros((20, 30), dtype=bool)
    truth[5:12, 10:17] = True
    assert next_click(truth, np.zeros_like(truth)) == Point(13.5, 8.5, 1)


def test_border_of_the_image_is_an_edge() -> None:
    """A click half out of the picture would be no deeper: the middle of the strip counts, not its outer pixel."""
    truth = np.zeros((9, 9), dtype=bool)
    truth[:, :5] = True
    assert next_click(truth, np.zeros_like(truth)) == Point(2.5, 2.5, 1)


def test_larger_mistake_goes_first_and_a_right_mask_wants_no_click() -> None:
    truth, found = np.zeros((12, 12), dtype=bool), np.zeros((12, 12), dtype=bool)
    truth[0:3, 0:3] = True  # missed
    found[5:12, 5:12] = True  # spilt, and larger
    click = next_click(truth, found)
    assert click == Point(8.5, 8.5, 0)
    assert next_click(truth, truth) is None
