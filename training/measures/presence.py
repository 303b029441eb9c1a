"""How sure the model says it is that a thing is there, against how often it is. Legend: P pairs, B bins, R rounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.measures.figures import count_scenes, redrawn, share, too_few

HISTOGRAM_BINS = np.linspace(0, 1, 21)
CALIBRATION_BINS = np.linspace(0, 1, 11)


def histogram(presence_P: np.ndarray, positive_P: np.ndarray) -> dict[str, Any]:
    return {
        "edges": HISTOGRAM_BINS.round(3).tolist(),
        "positives": np.histogram(presence_P[positive_P], HISTOGRAM_BINS)[0].tolist(),
        "negatives": np.histogram(presence_P[~positive_P], HISTOGRAM_BINS)[0].tolist(),
    }


def calibration(presence_P: np.ndarray, positive_P: np.ndarray, scene_P: np.ndarray, seed: int) -> dict[str, Any]:
    """Ten bins of presence, in each the share of pairs that hold the thing; `ece` is the mean distance of the two over
    pairs. In a small set chance alone keeps it above 0, and its interval with it."""
    bin_P = np.clip(np.digitize(presence_P, CALIBRATION_BINS) - 1, 0, len(CALIBRATION_BINS) - 2)
    bins = [_bin(place, presence_P, positive_P, scene_P, bin_P == place) for place in range(len(CALIBRATION_BINS) - 1)]
    in_bin_PB = bin_P[:, None] == np.arange(len(bins))
    terms_PK = np.concatenate([in_bin_PB, in_bin_PB * presence_P[:, None], in_bin_PB * positive_P[:, None]], axis=1)
    interval = too_few({"that are judged": count_scenes(scene_P, np.ones(len(scene_P), dtype=bool))}) or redrawn(
        _ece_of_sums, terms_PK, scene_P, seed
    )
    low, high = (None, None) if isinstance(interval, str) else (round(bound, 6) for bound in interval)
    ece = float(_ece_of_sums(terms_PK.sum(axis=0, keepdims=True))[0])
    return {"bins": bins, "ece": round(ece, 6), "n": len(presence_P), "ece_low": low, "ece_high": high}


def _bin(
    place: int, presence_P: np.ndarray, positive_P: np.ndarray, scene_P: np.ndarray, kept_P: np.ndarray
) -> dict[str, Any]:
    found = share(positive_P[kept_P], scene_P[kept_P])
    return {
        "low": round(float(CALIBRATION_BINS[place]), 3),
        "high": round(float(CALIBRATION_BINS[place + 1]), 3),
        "n": int(kept_P.sum()),
        "mean_presence": round(float(presence_P[kept_P].mean()), 6) if kept_P.any() else None,
        "share": found["value"],
        "share_low": found["low"],
        "share_high": found["high"],
    }


def _ece_of_sums(sums_RK: np.ndarray) -> np.ndarray:
    n_RB, presence_RB, positives_RB = np.split(sums_RK.astype(np.float64), 3, axis=1)
    return np.abs(presence_RB - positives_RB).sum(axis=1) / n_RB.sum(axis=1)
