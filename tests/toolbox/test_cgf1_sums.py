"""CGF1 from rows and the paired difference of two models, by hand."""

import numpy as np
import pytest

from toolbox.cgf1_sums import cgf1_of_sums, mcc_of_sums, paired_differences, pmf1_of_sums, terms_of_rows


def row(there: int, found: int, right: int) -> dict:
    return {"instances": there, "predicted": found, "true_positives": [right] * 10}


def figures(rows: list[dict]) -> list[float]:
    total = terms_of_rows(rows).sum(axis=0, keepdims=True)
    return [float(figure(total)[0]) for figure in (cgf1_of_sums, pmf1_of_sums, mcc_of_sums)]


def test_rows_give_the_figures_that_their_counts_have():
    """Positives: 2 of 2 right, 1 of 3 found with one false. Negatives: one quiet, one alarm.

    TP 3, FP 1, FN 2: F1 = 6 / 9. Image level TP 2, FP 1, TN 1, FN 0: MCC = 2 / sqrt(3 * 2 * 2 * 1).
    """
    rows = [row(2, 2, 2), row(3, 2, 1), row(0, 0, 0), row(0, 1, 0)]
    f1, mcc = 2 / 3, 2 / 12**0.5
    assert figures(rows) == pytest.approx([f1 * mcc, f1, mcc], abs=1e-4)


def test_equal_models_differ_by_nothing_however_often_scenes_are_redrawn():
    terms = terms_of_rows([row(1, 1, 1), row(1, 0, 0), row(0, 0, 0), row(0, 1, 0)] * 10)
    scenes = [str(index) for index in range(40)]
    assert paired_differences(terms, terms, scenes, [cgf1_of_sums]) == [(0.0, 0.0, 0.0)]


def test_interval_of_a_difference_is_as_wide_as_scenes_differ_and_not_as_pairs_do():
    """The same forty pairs as forty scenes and as eight: alike frames make the interval wider."""
    rng = np.random.default_rng(1)
    quiet = [row(0, 0, 0)] * 20
    hits = rng.random(20) < 0.5
    first = terms_of_rows([row(1, 1, 1)] * 20 + quiet)
    second = terms_of_rows([row(1, 1, int(hits[index // 5 * 5])) for index in range(20)] + quiet)
    apart = [str(index) for index in range(40)]
    together = [str(index // 5) for index in range(40)]
    widths = []
    for scenes in (apart, together):
        ((gain, low, high),) = paired_differences(first, second, scenes, [pmf1_of_sums])
        assert low <= gain <= high
        widths.append(high - low)
    assert widths[1] > 1.5 * widths[0]
