"""Which pairs look alike, and how many."""

import numpy as np
import pytest

from annotator.queue.likeness import SAMPLED, alike_counts, directions

KINDS = np.eye(3, dtype=np.float32)


def test_directions_are_unit_vectors_about_the_middle():
    features = np.array([[6, 1], [4, 1]], np.float16)
    # The middle is (5, 1): what both share says nothing.
    assert directions(features) == pytest.approx(np.array([[1, 0], [-1, 0]]))


def test_pairs_alike_are_counted_within_their_concept():
    units = KINDS[[0, 0, 0, 1, 1, 2]]
    assert alike_counts(units, ["a"] * 6).tolist() == [3, 3, 3, 2, 2, 1]
    assert alike_counts(units, ["a", "a", "b", "a", "b", "a"]).tolist() == [2, 2, 1, 1, 1, 1]


def test_pair_without_a_direction_is_like_no_other():
    assert alike_counts(np.zeros((2, 3), np.float32), ["a", "a"]).tolist() == [1, 1]


def test_large_pool_is_estimated_from_a_sample():
    rng = np.random.default_rng(0)
    kinds = rng.choice(3, size=40 * SAMPLED, p=[0.7, 0.2, 0.1])
    counts = alike_counts(KINDS[kinds], ["a"] * len(kinds))
    for kind in range(3):
        true = (kinds == kind).sum()
        # Three standard deviations of a share of SAMPLED draws.
        share = true / len(kinds)
        spread = 3 * len(kinds) * (share * (1 - share) / SAMPLED) ** 0.5
        assert abs(counts[kinds == kind].mean() - true) < spread
