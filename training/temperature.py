"""How sure a trained version may sound: one temperature for its presence logits, fitted on `val` after training.

Presence logits z become z / T (Guo et al. 2017, On calibration of modern neural networks). T is the one that makes the
answers of `val` likeliest. The sides of 0.5 and the order stay, so that nothing that is found or counted at 0.5 moves.
Legend: P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from training.dataset import Pair
from training.evaluate import find_pairs
from training.fit import JUDGE_PAIRS
from training.measures.presence import calibration
from training.models import Model
from training.precision import FULL, Precision
from training.texts import Texts
from training.token_source import TokenSource

# One number can be told from so many pairs, and from so few of the rarer kind.
LEAST_PAIRS, LEAST_OF_A_KIND = 30, 8
COLDEST, HOTTEST = 1 / 8, 8.0

Calibration = dict[str, Any]


def measured_calibration(
    model: Model, features: TokenSource, pairs: Sequence[Pair], seed: int, **judging: Any
) -> Calibration:
    """Of a model on pairs with a known truth."""
    logits_P = presence_logits(model, features, pairs, **judging)
    scenes = {name: place for place, name in enumerate(sorted({pair.scene for pair in pairs}))}
    scene_P = np.array([scenes[pair.scene] for pair in pairs], dtype=np.int64)
    return presence_calibration(logits_P, np.array([pair.is_positive for pair in pairs], dtype=bool), scene_P, seed)


def presence_calibration(logits_P: np.ndarray, positive_P: np.ndarray, scene_P: np.ndarray, seed: int) -> Calibration:
    """What the model's manifest tells: the temperature, and how far presence was off before and is off with it.

    Both errors are of the pairs that it was fitted on; one number learns little of them by heart.
    """
    counts = {"pairs": len(logits_P), "positives": int(positive_P.sum())}
    if why := _too_few(**counts):
        return {"temperature": 1.0, "why": why, **counts}
    temperature = fitted_temperature(logits_P, positive_P)
    before, after = (calibration(_sigmoid(logits_P / scale), positive_P, scene_P, seed) for scale in (1.0, temperature))
    errors = {"ece_before": before["ece"], "ece_after": after["ece"]}
    return {"temperature": temperature, **counts, **errors, "before": before, "after": after}


def _too_few(pairs: int, positives: int) -> str:
    """Why nothing is fitted, or nothing."""
    rarer = min(positives, pairs - positives)
    if pairs >= LEAST_PAIRS and rarer >= LEAST_OF_A_KIND:
        return ""
    return (
        f"val has {pairs} pairs, {positives} of them with the thing: it takes {LEAST_PAIRS}, and {LEAST_OF_A_KIND} of "
        "either kind, to tell how sure the model may sound."
    )


def fitted_temperature(logits_P: np.ndarray, positive_P: np.ndarray) -> float:
    """The likeliest, between an eighth and eight.

    Where presence tells the two kinds apart without a fault the likeliest would be the least, and every score 0 or 1:
    so the wanted answers are drawn in a little, by how many there are (Platt 1999, Probabilistic outputs for support
    vector machines).
    """
    positives, negatives = int(positive_P.sum()), int((~positive_P).sum())
    wanted_P = np.where(positive_P, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def log_loss(log_temperature: float) -> float:
        scaled_P = logits_P / np.exp(log_temperature)
        return float((np.logaddexp(0, scaled_P) - wanted_P * scaled_P).mean())

    found = minimize_scalar(log_loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return round(float(np.exp(found.x)), 4)


def _sigmoid(logits_P: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -logits_P))


@torch.inference_mode()
def presence_logits(
    model: Model,
    features: TokenSource,
    pairs: Sequence[Pair],
    *,
    at_once: int = JUDGE_PAIRS,
    precision: Precision = FULL,
    texts: Texts | None = None,
) -> np.ndarray:
    """(P,) as the weights have them, no mask drawn."""
    texts = texts or Texts(model, is_frozen=True, precision=precision)
    found: list[float] = []
    for start in range(0, len(pairs), at_once):
        chunk = pairs[start : start + at_once]
        with precision.autocast(model.device):
            answers, _ = find_pairs(model, features, chunk, texts([pair.phrase for pair in chunk]))
        found += answers.presence_logits_P.float().cpu().tolist()
    return np.array(found, dtype=np.float64)
