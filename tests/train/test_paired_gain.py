"""Versions side by side and the gate tell the same gain of the same rows: the page has its own way to it."""

from __future__ import annotations

import numpy as np
import pytest

from toolbox.cgf1_sums import cgf1_of_sums, paired_differences, terms_of_rows
from toolbox.gate_policy import Policy
from training.cgf1 import PairCounts
from training.gate import Asked, Judged, decide

PAIRS = 120


def kept_rows(seed: int) -> list[dict]:
    """Positives of two instances, negatives with some alarms; fewer are right at stricter thresholds."""
    rng, rows = np.random.default_rng(seed), []
    for index in range(PAIRS):
        there = 2 * (index % 2)
        found = int(rng.integers(0, 4) if there else rng.random() < 0.2)
        right = sorted((int(rng.integers(0, min(there, found) + 1)) for _ in range(10)), reverse=True)
        rows.append({"instances": there, "predicted": found, "true_positives": right})
    return rows


def judged(rows: list[dict]) -> Judged:
    told = [[row[key] for row in rows] for key in ("instances", "predicted", "true_positives")]
    return Judged(PairCounts.of(list(range(PAIRS)), *told), np.full(PAIRS, 0.5))


def test_paired_difference_of_versions_is_the_gate_s_gain_with_its_interval() -> None:
    first, second = kept_rows(1), kept_rows(2)
    scenes = [f"scene {index * 7 % 40}" for index in range(PAIRS)]  # three pairs each, in no order
    policy = Policy(bootstrap=1300, confidence=0.95)
    gate = decide(judged(first), judged(second), Asked(scenes, ["hen"] * PAIRS), policy, seed=0)
    ((gain, low, high),) = paired_differences(
        terms_of_rows(first), terms_of_rows(second), scenes, [cgf1_of_sums], rounds=policy.bootstrap
    )
    assert low < gain < high
    told = (gate["delta_cgf1"], gate["bootstrap"]["low"], gate["bootstrap"]["high"])
    assert (gain, low, high) == pytest.approx(told, rel=1e-9)
