"""What a page needs to draw a run: JSON-serialisable series, no figures of its own.

Every series is small (tens of points), so that a page can print the same numbers as a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from training import cgf1
from training.dataset import Pair
from training.evaluate import Evaluation, PairPrediction

PRESENCE_BINS = 20
THRESHOLDS = tuple(round(0.1 + 0.05 * step, 2) for step in range(18))


def describe(evaluation: Evaluation, *, keep_score: float) -> dict[str, Any]:
    """Series of one model on one split: precision and recall by threshold, presence histograms, confusion counts."""
    return {
        "precision_recall": precision_recall(evaluation, keep_score=keep_score),
        "presence": presence_histogram(evaluation),
        "confusion": confusion(evaluation.result.pairs),
        "by_iou": by_iou(evaluation.result.pairs),
    }


def precision_recall(evaluation: Evaluation, *, keep_score: float) -> list[dict[str, float]]:
    """Figures at other score thresholds than the official 0.5; none below what was kept."""
    rows, points = evaluation.coco_results(), []
    for threshold in THRESHOLDS:
        if threshold < keep_score:
            continue
        figures = cgf1.evaluate(evaluation.split.document, rows, threshold=threshold).metrics
        points.append(
            {
                "threshold": threshold,
                "precision": figures["cgF1_eval_segm_precision@0.5"],
                "recall": figures["cgF1_eval_segm_recall@0.5"],
                "cgf1": figures["cgF1_eval_segm_cgF1"],
            }
        )
    return points


def presence_histogram(evaluation: Evaluation) -> dict[str, Any]:
    """How sure the model was of positives and of negatives: counts in 20 bins from 0 to 1."""
    presence_P, positive_P = evaluation.presence_P(), evaluation.result.pairs.is_positive_P
    edges = np.linspace(0, 1, PRESENCE_BINS + 1)
    return {
        "edges": edges.round(3).tolist(),
        "positives": np.histogram(presence_P[positive_P], edges)[0].tolist(),
        "negatives": np.histogram(presence_P[~positive_P], edges)[0].tolist(),
    }


def confusion(pairs: cgf1.PairCounts) -> dict[str, int]:
    raw = cgf1.raw_counts(pairs)
    names = {"true_positive": "IL_TP", "false_positive": "IL_FP", "true_negative": "IL_TN", "false_negative": "IL_FN"}
    return {name: raw[key] for name, key in names.items()}


def by_iou(pairs: cgf1.PairCounts) -> list[dict[str, float]]:
    raw = cgf1.raw_counts(pairs)
    return [
        {"iou": round(iou, 2), "pmf1": f1}
        for iou, f1 in zip(raw["iou_thresholds"], raw["positive_micro_F1"], strict=True)
    ]


def choose_samples(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """The same few of the judged pairs for any two models: positives and negatives in turn, by their images' hashes."""
    ordered = sorted(pairs, key=lambda pair: (pair.image, pair.phrase))
    positives = [pair for pair in ordered if pair.is_positive]
    negatives = [pair for pair in ordered if not pair.is_positive]
    wanted = min(len(negatives), max(count // 4, count - len(positives)))
    chosen = _spread(positives, count - wanted) + _spread(negatives, wanted)
    return sorted(chosen, key=lambda pair: (pair.image, pair.phrase))


def _spread(pairs: list[Pair], count: int) -> list[Pair]:
    """Evenly over the list, so that a longer snapshot does not change all of them."""
    return [pairs[index * len(pairs) // count] for index in range(min(count, len(pairs)))] if count else []


def sample_row(prediction: PairPrediction) -> dict[str, Any]:
    """One fixed pair with its truth and what the model sees, masks as COCO RLE of the whole image."""
    pair = prediction.pair
    return {
        "pair_id": pair.id,
        "image": pair.image,
        "text_input": pair.phrase,
        "width": pair.width_px,
        "height": pair.height_px,
        "presence": round(prediction.presence, 4),
        "truth": [instance.rle for instance in pair.instances],
        "instances": [
            {"score": round(found.score, 4), "box": [round(v, 1) for v in found.box_xyxy_px], "segmentation": found.rle}
            for found in prediction.instances
            if found.score >= cgf1.SCORE_THRESHOLD
        ],
    }
