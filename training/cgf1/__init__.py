"""CGF1, SAM 3's metric for open-vocabulary segmentation: positive micro F1 times image-level MCC.

The unit is the (image, noun phrase) pair: one row of a SA-Co document's `images`. Written from the definition (SAM 3
paper, appendix E.3, and the behaviour of the official evaluator, `docs/training.md`); it answers with the official 26
figures, also in the degenerate cases, and raises the same exception types. Matching is done once a pair and kept as
counts (`PairCounts`), so that a bootstrap or a breakdown by concept is a sum over pairs.

Legend: P pairs, T = 10 IoU thresholds, R bootstrap rounds. Figures are fractions, as in the official dictionary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolbox.cgf1_sums import EPS_IMAGES, EPS_PIXELS, f1_of, harmonic, image_level_mcc, terms_of
from training.cgf1.overlaps import SCORE_THRESHOLD, Document, Overlap, Row, overlaps

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
FIGURES = ("cgF1", "precision", "recall", "F1", "positive_macro_F1", "positive_micro_F1", "positive_micro_precision")
IMAGE_FIGURES = ("IL_precision", "IL_recall", "IL_F1", "IL_FPR", "IL_MCC")


@dataclass(frozen=True)
class PairCounts:
    """What CGF1 needs to know of each evaluated pair: matching is over, everything below is addition."""

    pair_ids: list[Any]
    n_gt_P: np.ndarray
    n_dt_P: np.ndarray
    tp_PT: np.ndarray

    @classmethod
    def of(
        cls, pair_ids: list[Any], instances: list[int], predicted: list[int], true_positives: list[list[int]]
    ) -> PairCounts:
        """From plain lists, such as kept rows of pairs hold them."""
        hits_PT = np.array(true_positives, dtype=np.int64).reshape(len(pair_ids), len(IOU_THRESHOLDS))
        n_gt_P, n_dt_P = np.array(instances, dtype=np.int64), np.array(predicted, dtype=np.int64)
        return cls(pair_ids, n_gt_P, n_dt_P, hits_PT)

    def take(self, indices: Sequence[int] | np.ndarray) -> PairCounts:
        chosen = np.asarray(indices, dtype=np.int64)
        ids = [self.pair_ids[index] for index in chosen]
        return PairCounts(ids, self.n_gt_P[chosen], self.n_dt_P[chosen], self.tp_PT[chosen])

    def __len__(self) -> int:
        return len(self.pair_ids)

    @property
    def fp_PT(self) -> np.ndarray:
        return self.n_dt_P[:, None] - self.tp_PT

    @property
    def fn_PT(self) -> np.ndarray:
        return self.n_gt_P[:, None] - self.tp_PT

    @property
    def is_positive_P(self) -> np.ndarray:
        return self.n_gt_P > 0

    @property
    def fires_P(self) -> np.ndarray:
        """True where the model keeps at least one instance, whatever its mask."""
        return self.n_dt_P > 0


@dataclass(frozen=True)
class Cgf1:
    """The 26 official figures, the raw counts behind them, and the counts of each pair."""

    metrics: dict[str, float]
    raw: dict[str, Any]
    pairs: PairCounts


def evaluate(
    gts: Document | str | Path | Sequence[Document | str | Path],
    predictions: list[Row] | str | Path,
    iou_type: str = "segm",
) -> Cgf1:
    """Judge COCO results against one SA-Co document, or the best of several (the oracle of SA-Co/Gold).

    Documents and predictions may be given as JSON files. Raises what the official evaluator raises: KeyError for a
    missing key, AssertionError for a wrong top level or a pair that a further document lacks, ValueError where nothing
    is exhaustively annotated; and MaskError (a ValueError) for a mask that would crash pycocotools.
    """
    documents = [gts] if isinstance(gts, (Mapping, str, Path)) else list(gts)
    pairs = count_pairs([_read(doc) for doc in documents], _read(predictions), iou_type)
    return Cgf1(summarise(pairs, iou_type), raw_counts(pairs), pairs)


def _read(document: Any) -> Any:
    return json.loads(Path(document).read_text()) if isinstance(document, (str, Path)) else document


def count_pairs(documents: Sequence[Document], predictions: list[Row], iou_type: str = "segm") -> PairCounts:
    """Match each exhaustively annotated pair of the first document; with several documents, the best one a pair."""
    pair_ids, matches = [], []
    for of_pair in overlaps(documents, predictions, iou_type, least_score=SCORE_THRESHOLD):
        pair_ids.append(of_pair[0].pair_id)
        matches.append(_best([_match(overlap) for overlap in of_pair]))
    return _to_counts(pair_ids, matches)


@dataclass(frozen=True)
class _Match:
    n_gt: int
    n_dt: int
    tp_T: np.ndarray

    def mean_f1(self) -> float:
        return float(f1_of(self.tp_T, self.n_dt - self.tp_T, self.n_gt - self.tp_T).mean())

    def is_true_negative(self) -> bool:
        return self.n_gt == 0 and self.n_dt == 0


def _match(overlap: Overlap) -> _Match:
    n_gt, n_dt = len(overlap.gt_shapes), int((overlap.scores_D >= SCORE_THRESHOLD).sum())
    return _Match(n_gt, n_dt, reached(overlap.matched(SCORE_THRESHOLD)[1]))


def reached(iou_M: np.ndarray) -> np.ndarray:
    """(T,) how many matches hold at each IoU threshold, inclusive."""
    return (iou_M[:, None] >= IOU_THRESHOLDS).sum(axis=0).astype(np.int64)


def _best(matches: list[_Match]) -> _Match:
    """The oracle: an agreement that nothing is there wins, else the highest mean F1; ties keep the earlier document."""
    best = matches[0]
    for match in matches[1:]:
        if match.is_true_negative() or (not best.is_true_negative() and match.mean_f1() > best.mean_f1()):
            best = match
    return best


def _to_counts(pair_ids: list[Any], matches: list[_Match]) -> PairCounts:
    n_gt = np.array([match.n_gt for match in matches], dtype=np.int64)
    n_dt = np.array([match.n_dt for match in matches], dtype=np.int64)
    return PairCounts(pair_ids, n_gt, n_dt, np.stack([match.tp_T for match in matches]))


def raw_counts(pairs: PairCounts) -> dict[str, Any]:
    """The integers behind the figures, by threshold, and the image-level confusion counts."""
    positive, fires = pairs.is_positive_P, pairs.fires_P
    return {
        "iou_thresholds": IOU_THRESHOLDS.tolist(),
        "TP": pairs.tp_PT.sum(axis=0).tolist(),
        "FP": pairs.fp_PT.sum(axis=0).tolist(),
        "pmFP": pairs.fp_PT[positive].sum(axis=0).tolist(),
        "FN": pairs.fn_PT.sum(axis=0).tolist(),
        "positive_micro_F1": _by_threshold(pairs)["positive_micro_F1"].tolist(),
        "num_eval_pairs": len(pairs),
        "IL_TP": int((positive & fires).sum()),
        "IL_FP": int((~positive & fires).sum()),
        "IL_TN": int((~positive & ~fires).sum()),
        "IL_FN": int((positive & ~fires).sum()),
    }


def _by_threshold(pairs: PairCounts) -> dict[str, np.ndarray]:
    positive, fires = pairs.is_positive_P, pairs.fires_P
    tp, fp, fn = pairs.tp_PT.sum(axis=0), pairs.fp_PT.sum(axis=0), pairs.fn_PT.sum(axis=0)
    positive_fp = pairs.fp_PT[positive].sum(axis=0)
    recall = tp / (tp + fn + EPS_PIXELS)
    precision, positive_precision = tp / (tp + fp + EPS_PIXELS), tp / (tp + positive_fp + EPS_PIXELS)
    judged = positive & fires
    local = f1_of(pairs.tp_PT[judged], pairs.fp_PT[judged], pairs.fn_PT[judged])
    return {
        "precision": precision,
        "recall": recall,
        "F1": harmonic(precision, recall, EPS_PIXELS),
        "positive_macro_F1": local.mean(axis=0) if judged.any() else np.full(len(IOU_THRESHOLDS), -1.0),
        "positive_micro_F1": harmonic(positive_precision, recall, EPS_PIXELS),
        "positive_micro_precision": positive_precision,
    }


def _image_level(pairs: PairCounts) -> dict[str, float]:
    positive, fires = pairs.is_positive_P, pairs.fires_P
    tp, fp = int((positive & fires).sum()), int((~positive & fires).sum())
    tn, fn = int((~positive & ~fires).sum()), int((positive & ~fires).sum())
    precision, recall = tp / (tp + fp + EPS_IMAGES), tp / (tp + fn + EPS_IMAGES)
    return {
        "IL_precision": precision,
        "IL_recall": recall,
        "IL_F1": harmonic(precision, recall, EPS_IMAGES),
        "IL_FPR": fp / (fp + tn + EPS_IMAGES),
        "IL_MCC": float(image_level_mcc(tp, fp, tn, fn)),
    }


def summarise(pairs: PairCounts, iou_type: str = "segm") -> dict[str, float]:
    """The 26 official figures as fractions, named as the official evaluator names them."""
    image_level = _image_level(pairs)
    of_T = _by_threshold(pairs)
    of_T["cgF1"] = of_T["positive_micro_F1"] * image_level["IL_MCC"]
    name = f"cgF1_eval_{iou_type}_"
    figures = {f"{name}{key}": float(of_T[key].mean()) for key in FIGURES}
    figures |= {f"{name}{key}": image_level[key] for key in IMAGE_FIGURES}
    for suffix, index in (("@0.5", 0), ("@0.75", 5)):
        figures |= {f"{name}{key}{suffix}": float(of_T[key][index]) for key in FIGURES}
    return figures


def sums_of(pairs: PairCounts) -> np.ndarray:
    """(P, 34) additive terms of CGF1: TP, FP on positives, FN by threshold, then IL TP, FP, TN, FN."""
    return terms_of(pairs.n_gt_P, pairs.n_dt_P, pairs.tp_PT)
