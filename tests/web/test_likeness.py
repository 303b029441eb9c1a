"""Where a pair lies among the others."""

import numpy as np
import pytest

from annotator.queue.likeness import directions


def test_directions_are_unit_vectors_about_the_middle():
    features = np.array([[6, 1], [4, 1]], np.float16)
    # The middle is (5, 1): what both share says nothing.
    assert directions(features) == pytest.approx(np.array([[1, 0], [-1, 0]]))
