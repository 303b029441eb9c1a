"""CGF1 from sums: what it adds up of each pair, so that pairs, redrawn or chosen, have their figure by addition.

Legend: P pairs, S scenes, R rounds, T = 10 IoU thresholds from 0.5 to 0.95. A row of sums has 3 T + 4 terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

THRESHOLDS = 10
EPS_PIXELS = 1e-4  # in instance-level precision, recall, F1
EPS_IMAGES = 1e-6  # in image-level ones and the MCC
ROUNDS_AT_ONCE = 500
CELLS_AT_ONCE = 20_000_000  # of rounds x scenes: 160 MB
Figure = Callable[[np.ndarray], np.ndarray]


def terms_of(n_gt_P: np.ndarray, n_dt_P: np.ndarray, tp_PT: np.ndarray) -> np.ndarray:
    """(P, 34) additive terms: TP, FP on positives, FN by threshold, then image-level TP, FP, TN, FN."""
    positive, fires = (n_gt_P > 0)[:, None], (n_dt_P > 0)[:, None]
    image_level = [positive & fires, ~positive & fires, ~positive & ~fires, positive & ~fires]
    parts = [tp_PT, (n_dt_P[:, None] - tp_PT) * positive, n_gt_P[:, None] - tp_PT, *image_level]
    return np.concatenate(parts, axis=1).astype(np.float64)


def terms_of_rows(rows: Sequence[dict[str, Any]]) -> np.ndarray:
    """The same of rows.json (docs/contracts.md)."""
    n_gt_P, n_dt_P = (np.array([row[key] for row in rows], dtype=np.int64) for key in ("instances", "predicted"))
    tp_PT = np.array([row["true_positives"] for row in rows], dtype=np.int64).reshape(len(rows), THRESHOLDS)
    return terms_of(n_gt_P, n_dt_P, tp_PT)


def cgf1_of_sums(sums_RS: np.ndarray) -> np.ndarray:
    """(R, 34) sums of terms -> (R,) CGF1."""
    return pmf1_of_sums(sums_RS) * mcc_of_sums(sums_RS)


def pmf1_of_sums(sums_RS: np.ndarray) -> np.ndarray:
    """(R, 34) sums of terms -> (R,) positive micro F1, the mean over thresholds."""
    tp, fp, fn = (sums_RS[:, start : start + THRESHOLDS] for start in (0, THRESHOLDS, 2 * THRESHOLDS))
    return np.asarray(f1_of(tp, fp, fn).mean(axis=1))


def mcc_of_sums(sums_RS: np.ndarray) -> np.ndarray:
    """(R, 34) sums of terms -> (R,) IL_MCC."""
    return np.asarray(image_level_mcc(*sums_RS[:, 3 * THRESHOLDS :].T))


def f1_of(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    return np.asarray(harmonic(tp / (tp + fp + EPS_PIXELS), tp / (tp + fn + EPS_PIXELS), EPS_PIXELS))


def harmonic(precision: Any, recall: Any, eps: float) -> Any:
    return 2 * precision * recall / (precision + recall + eps)


def image_level_mcc(tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
    """Matthews correlation between "holds the concept" and "the model fires"; 0 where one of the four margins is 0."""
    tp, fp, tn, fn = (np.asarray(value, dtype=np.float64) for value in (tp, fp, tn, fn))
    return (tp * tn - fp * fn) / (((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5 + EPS_IMAGES)


def by_scene(terms_P: np.ndarray, scene_P: Sequence[Any] | np.ndarray) -> np.ndarray:
    """(S, K) additive terms of the pairs, summed up scene by scene."""
    _, place_P = np.unique(scene_P, return_inverse=True)
    terms_SK = np.zeros((int(place_P.max()) + 1, terms_P.shape[1]))
    np.add.at(terms_SK, place_P, terms_P)
    return terms_SK


def drawn_scenes(rng: np.random.Generator, rounds: int, scenes: int) -> np.ndarray:
    """(R, S) how often each scene is drawn in each round; ten times as fast as rng.multinomial()."""
    drawn_RS = rng.integers(scenes, size=(rounds, scenes)) + scenes * np.arange(rounds)[:, None]
    return np.bincount(drawn_RS.ravel(), minlength=rounds * scenes).reshape(rounds, scenes).astype(np.float64)


def redrawn_differences(change: Callable[[np.ndarray], np.ndarray], scenes: int, rounds: int, seed: int) -> np.ndarray:
    """(rounds, …) values of `change` on scenes drawn with replacement; it is given (R, S) how often each was drawn."""
    rng, found = np.random.default_rng(seed), []
    at_once = max(1, min(ROUNDS_AT_ONCE, CELLS_AT_ONCE // max(1, scenes)))
    for start in range(0, rounds, at_once):
        found.append(change(drawn_scenes(rng, min(at_once, rounds - start), scenes)))
    return np.concatenate(found)


def paired_differences(
    first_P: np.ndarray, second_P: np.ndarray, scene_P: Sequence[str], figures: Sequence[Figure], *, rounds: int = 1000
) -> list[tuple[float, float, float]]:
    """(second - first, low, high) of each figure, from two models' terms of the same pairs: 95 % intervals over redrawn
    scenes, the same for both models. The ends are the drawn distribution's, as the gate tells its gain."""
    names_P = np.asarray(scene_P, dtype=object).astype(str)
    sides = [by_scene(terms_P, names_P) for terms_P in (first_P, second_P)]

    def change(drawn_RS: np.ndarray) -> np.ndarray:
        first_RT, second_RT = (drawn_RS @ side for side in sides)
        return np.stack([figure(second_RT) - figure(first_RT) for figure in figures], axis=1)

    drawn_RF = redrawn_differences(change, len(sides[0]), rounds, seed=0)
    ends_2F, whole_F = np.quantile(drawn_RF, [0.025, 0.975], axis=0), change(np.ones((1, len(sides[0]))))[0]
    return [(float(whole), float(low), float(high)) for whole, low, high in zip(whole_F, *ends_2F, strict=True)]
