"""What other score thresholds than the official 0.5 would give: images, objects, and the threshold for a wanted recall.

An image-level answer is "the model fires": at least one instance from the threshold up. Legend: P pairs, H thresholds,
R rounds, S scenes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from training.intervals import FEW_SCENES, bounds_of_quantile
from training.measures.figures import (
    CONFIDENCE,
    Figure,
    count_scenes,
    figure,
    redrawn,
    share,
    share_of_counts,
    too_few,
)
from training.measures.groups import Judged
from training.measures.matches import THRESHOLDS
from training.rounding import ceiled, floored

SHOWN = (0.5, 0.7, 0.9)
WANTED_RECALLS = (0.9, 0.95, 0.99)
BINS = np.linspace(0, 1, 21)


def images_at(judged: Judged) -> dict[str, Any]:
    """Confusion of pairs, and what is made of it, at 0.5, 0.7 and 0.9."""
    return {str(threshold): _images(judged, threshold) for threshold in SHOWN}


def _images(judged: Judged, threshold: float) -> dict[str, Any]:
    positive_P, scene_P = judged.is_positive_P, judged.scene_P
    fires_P = judged.matches.kept_PH[:, THRESHOLDS.index(threshold)] > 0
    tp, fp = int((positive_P & fires_P).sum()), int((~positive_P & fires_P).sum())
    fn, tn = int((positive_P & ~fires_P).sum()), int((~positive_P & ~fires_P).sum())
    terms_PK = np.stack([positive_P & fires_P, ~positive_P & fires_P, positive_P & ~fires_P], axis=1)
    return {
        "confusion": {"tp": tp, "fp": fp, "fn": fn, "tn": tn},
        "accuracy": share(positive_P == fires_P, scene_P),
        "precision": share(positive_P[fires_P], scene_P[fires_P]),
        "recall": share(fires_P[positive_P], scene_P[positive_P]),
        "specificity": share(~fires_P[~positive_P], scene_P[~positive_P]),
        "f1": _f1(terms_PK, judged),
    }


def objects_at(judged: Judged) -> dict[str, Any]:
    """The same of objects, found where a kept instance is matched to them at IoU 0.5."""
    return {str(threshold): _objects(judged, THRESHOLDS.index(threshold)) for threshold in SHOWN}


def _objects(judged: Judged, place: int) -> dict[str, Any]:
    hits_P, kept_P = judged.matches.hits_PH[:, place], judged.matches.kept_PH[:, place]
    total_P = judged.matches.pairs.n_gt_P
    terms_PK = np.stack([hits_P, kept_P - hits_P, total_P - hits_P], axis=1)
    tp, fp, fn = (int(count) for count in terms_PK.sum(axis=0))
    return {
        "confusion": {"tp": tp, "fp": fp, "fn": fn},
        "precision": share_of_counts(hits_P, kept_P, judged.scene_P),
        "recall": share_of_counts(hits_P, total_P, judged.scene_P),
        "f1": _f1(terms_PK, judged),
    }


def _f1(terms_PK: np.ndarray, judged: Judged) -> Figure:
    """2 TP / (2 TP + FP + FN) of TP, FP, FN; no interval where scenes are too few or all alike."""
    sums_K = terms_PK.sum(axis=0, keepdims=True).astype(np.float64)
    n = int(sums_K.sum())
    if not n:
        return figure(None, 0, None, None)
    counted_P = terms_PK.sum(axis=1) > 0
    interval = too_few({"that count": count_scenes(judged.scene_P, counted_P)}) or redrawn(
        _f1_of_sums, terms_PK.astype(np.float64), judged.scene_P, judged.seed
    )
    low, high = (None, None) if isinstance(interval, str) else interval
    return figure(float(_f1_of_sums(sums_K)[0]), n, low, high)


def _f1_of_sums(sums_RK: np.ndarray) -> np.ndarray:
    tp, fp, fn = sums_RK.T
    with np.errstate(invalid="ignore"):
        return 2 * tp / (2 * tp + fp + fn)


def precision_recall(judged: Judged, *, keep_score: float) -> list[dict[str, Any]]:
    """Of objects, by score threshold, from the lowest score that was kept; low and high are of the recall."""
    points = []
    for place, threshold in enumerate(THRESHOLDS):
        if threshold < keep_score:
            continue
        found = _objects_plain(judged, place)
        recall = share_of_counts(judged.matches.hits_PH[:, place], judged.matches.pairs.n_gt_P, judged.scene_P)
        bounds = {"recall": recall["value"], "low": recall["low"], "high": recall["high"]}
        points.append({"threshold": threshold, **found, **bounds})
    return points


def _objects_plain(judged: Judged, place: int) -> dict[str, float | None]:
    hits, kept = int(judged.matches.hits_PH[:, place].sum()), int(judged.matches.kept_PH[:, place].sum())
    total = int(judged.matches.pairs.n_gt_P.sum())
    return {
        "precision": round(hits / kept, 6) if kept else None,
        "f1": round(2 * hits / (kept + total), 6) if kept + total else None,
    }


def scores(judged: Judged) -> dict[str, Any]:
    """How sure the model was of instances that hit an object at IoU 0.5 and of those that do not: counts in 20 bins."""
    return {
        "edges": BINS.round(3).tolist(),
        "true_positives": np.histogram(judged.matches.hit_scores, BINS)[0].tolist(),
        "false_positives": np.histogram(judged.matches.miss_scores, BINS)[0].tolist(),
    }


def operating(judged: Judged) -> list[dict[str, Any]]:
    return [_operating(judged, wanted) for wanted in WANTED_RECALLS]


def _operating(judged: Judged, wanted: float) -> dict[str, Any]:
    """The highest threshold at which this share of the positives still fires; None where too little was kept. Never
    rounded up: the last positive that it counts on would no longer fire."""
    positive_P, best_P = judged.is_positive_P, judged.matches.best_score_P
    score_P, scene_P = best_P[positive_P], judged.scene_P[positive_P]
    threshold = _threshold(score_P, wanted) if len(score_P) else 0.0
    alarms = figure(None, int((~positive_P).sum()), None, None)
    if threshold:
        alarms = share(best_P[~positive_P] >= threshold, judged.scene_P[~positive_P])
    low, high = _bounds_of_threshold(score_P, scene_P, wanted, threshold)
    found = {"threshold": floored(threshold) if threshold else None, "low": low, "high": high}
    return {"recall": wanted, **found, "false_alarms": alarms}


def _threshold(score_P: np.ndarray, wanted: float) -> float:
    """The score at which the wanted share is reached, from the highest score down; 0: it was not kept."""
    place = max(0, math.ceil(wanted * len(score_P) - 1e-9) - 1)
    return float(np.sort(score_P)[::-1][place])


def _bounds_of_threshold(
    score_P: np.ndarray, scene_P: np.ndarray, wanted: float, threshold: float
) -> tuple[float | None, float | None]:
    """None where so few positives bound it by none of their scores, or by one that was not kept."""
    if len(np.unique(scene_P)) < FEW_SCENES:
        return None, None
    fires_P = score_P >= threshold if threshold else score_P > 0
    low, high = bounds_of_quantile(score_P, fires_P, scene_P, wanted, CONFIDENCE)
    return floored(low) if low else None, ceiled(high) if high else None
