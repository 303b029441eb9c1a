"""CGF1, SAM 3's metric for open-vocabulary segmentation: positive micro F1 times image-level MCC.

The unit is the (image, noun phrase) pair: one row of a SA-Co document's `images`. Written from the definition (SAM 3
paper, appendix E.3, and the behaviour of the official evaluator, `docs/training.md`); it answers with the official 26
figures, also in the degenerate cases, and raises the same exception types. Matching is done once a pair and kept as
counts (`PairCounts`), so that a bootstrap or a breakdown by concept is a sum over pairs.

Legend: P pairs, T = 10 IoU thresholds, R bootstrap rounds. Figures are fractions, as in the official dictionary.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from toolbox.cgf1_sums import EPS_IMAGES, EPS_PIXELS, f1_of, harmonic, image_level_mcc, terms_of
from training import masks

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
SCORE_THRESHOLD = 0.5
FIGURES = ("cgF1", "precision", "recall", "F1", "positive_macro_F1", "positive_micro_F1", "positive_micro_precision")
IMAGE_FIGURES = ("IL_precision", "IL_recall", "IL_F1", "IL_FPR", "IL_MCC")

Document = Mapping[str, Any]
Row = dict[str, Any]


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
    threshold: float = SCORE_THRESHOLD,
) -> Cgf1:
    """Judge COCO results against one SA-Co document, or the best of several (the oracle of SA-Co/Gold).

    Documents and predictions may be given as JSON files. Raises what the official evaluator raises: KeyError for a
    missing key, AssertionError for a wrong top level or a pair that a further document lacks, ValueError where nothing
    is exhaustively annotated; and MaskError (a ValueError) for a mask that would crash pycocotools.
    """
    documents = [gts] if isinstance(gts, (Mapping, str, Path)) else list(gts)
    pairs = count_pairs([_read(doc) for doc in documents], _read(predictions), iou_type, threshold)
    return Cgf1(summarise(pairs, iou_type), raw_counts(pairs), pairs)


def _read(document: Any) -> Any:
    return json.loads(Path(document).read_text()) if isinstance(document, (str, Path)) else document


class _GroundTruth:
    """One SA-Co document, indexed as pycocotools indexes it."""

    def __init__(self, document: Document) -> None:
        assert isinstance(document, Mapping), (
            "a ground truth must be a JSON object with images, annotations, categories"
        )
        self.images: list[Row] = list(document["images"])
        self.image_by_id = {image["id"]: image for image in self.images}
        self.category_ids = sorted(category["id"] for category in document["categories"])
        annotations: list[Row] = list(document.get("annotations", []))
        self.by_id = {annotation["id"]: annotation for annotation in annotations}
        self.ids_of_image: dict[Any, list[Any]] = defaultdict(list)
        for annotation in annotations:
            annotation["category_id"]  # a missing one is an error even in a pair that is not evaluated
            self.ids_of_image[annotation["image_id"]].append(annotation["id"])

    def annotations(self, pair_id: Any) -> list[Row]:
        rows = [self.by_id[key] for key in self.ids_of_image.get(pair_id, [])]
        return [row for row in rows if row["image_id"] == pair_id]

    def listed(self, rows: list[Row]) -> list[Row]:
        """Rows of a listed category, by category, then as given; the others vanish, as in the official evaluator."""
        return [row for category in self.category_ids for row in rows if row["category_id"] == category]


@dataclass
class _Candidates:
    """One pair as seen by one ground truth: shapes to compare, all of them, and which of them count."""

    dt_shapes: list[Any]
    gt_shapes: list[Any]
    is_crowd: list[int]
    keeps_dt: np.ndarray
    keeps_gt: np.ndarray


def count_pairs(
    documents: Sequence[Document], predictions: list[Row], iou_type: str = "segm", threshold: float = SCORE_THRESHOLD
) -> PairCounts:
    """Match each exhaustively annotated pair of the first document; with several documents, the best one a pair."""
    if iou_type not in ("segm", "bbox"):
        raise ValueError(f"iou_type is segm or bbox, not {iou_type!r}")
    truths = [_GroundTruth(document) for document in documents]
    assert truths, "at least one ground truth is needed"
    pair_ids = _exhaustive_pairs(truths)
    rows_of_pair: dict[Any, list[Row]] = defaultdict(list)
    for row in predictions:
        rows_of_pair[row["image_id"]].append(row)
    if not pair_ids:
        raise ValueError("no pair of the ground truth has is_instance_exhaustive set: there is nothing to evaluate")
    found = [
        [_candidates(truth, pair, rows_of_pair.get(pair, []), iou_type, threshold) for truth in truths]
        for pair in pair_ids
    ]
    if iou_type == "segm":
        masks.check_rles(_distinct_shapes(found))
    return _to_counts(pair_ids, [_best([_match(candidates) for candidates in of_pair]) for of_pair in found])


def _exhaustive_pairs(truths: list[_GroundTruth]) -> list[Any]:
    excluded = {image["id"] for truth in truths[1:] for image in truth.images if not image["is_instance_exhaustive"]}
    return [
        image["id"] for image in truths[0].images if image["is_instance_exhaustive"] and image["id"] not in excluded
    ]


def _distinct_shapes(found: list[list[_Candidates]]) -> list[Any]:
    shapes = {id(shape): shape for of_pair in found for seen in of_pair for shape in seen.dt_shapes + seen.gt_shapes}
    return list(shapes.values())


def _candidates(truth: _GroundTruth, pair_id: Any, rows: list[Row], iou_type: str, threshold: float) -> _Candidates:
    assert not rows or pair_id in truth.image_by_id, (
        f"pair {pair_id} has predictions, but one of the ground truths lacks it"
    )
    image = truth.image_by_id.get(pair_id, {})
    dt_all, gt_all = _complete(rows, iou_type), truth.annotations(pair_id)
    shape_of = {id(row): _shape(row, image, iou_type) for row in dt_all + gt_all}
    dt, gt = truth.listed(dt_all), truth.listed(gt_all)
    is_crowd = [int(row["iscrowd"]) for row in gt]
    return _Candidates(
        [shape_of[id(row)] for row in dt],
        [shape_of[id(row)] for row in gt],
        is_crowd,
        np.array([row["score"] >= threshold for row in dt], dtype=bool),
        np.array([not row["iscrowd"] for row in gt], dtype=bool),
    )


def _complete(rows: list[Row], iou_type: str) -> list[Row]:
    """COCO results have a box or a mask; the other is derived, and the pair's first row says which is which."""
    if not rows:
        return []
    if "bbox" in rows[0] and rows[0]["bbox"] != []:
        return [_with_segmentation(row) for row in rows]
    if "segmentation" not in rows[0]:
        return rows
    return [{"bbox": _box_of(row["segmentation"], iou_type), **row} for row in rows]


def _box_of(segmentation: Any, iou_type: str) -> list[float]:
    if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
        raise TypeError("a prediction without a box needs a compressed RLE as its segmentation")
    if iou_type == "segm":
        return []  # the box is not looked at
    masks.check_rles([segmentation])
    return masks.box_xywh(segmentation)


def _with_segmentation(row: Row) -> Row:
    x0, y0, x1, y1 = row["bbox"][0], row["bbox"][1], row["bbox"][0] + row["bbox"][2], row["bbox"][1] + row["bbox"][3]
    return row if "segmentation" in row else {**row, "segmentation": [[x0, y0, x0, y1, x1, y1, x1, y0]]}


def _shape(row: Row, image: Row, iou_type: str) -> Any:
    row["category_id"]  # a prediction without one is an error, not another category
    if iou_type == "bbox":
        return row["bbox"]
    height_px, width_px = image["height"], image["width"]
    return masks.to_compressed(row["segmentation"], height_px=height_px, width_px=width_px)


@dataclass(frozen=True)
class _Match:
    n_gt: int
    n_dt: int
    tp_T: np.ndarray

    def mean_f1(self) -> float:
        return float(f1_of(self.tp_T, self.n_dt - self.tp_T, self.n_gt - self.tp_T).mean())

    def is_true_negative(self) -> bool:
        return self.n_gt == 0 and self.n_dt == 0


def _match(seen: _Candidates) -> _Match:
    """Highest total IoU, independent of scores and thresholds; then at each threshold, inclusive, what of it holds."""
    n_dt, n_gt = int(seen.keeps_dt.sum()), int(seen.keeps_gt.sum())
    if n_dt == 0 or n_gt == 0:
        return _Match(n_gt, n_dt, np.zeros(len(IOU_THRESHOLDS), dtype=np.int64))
    iou_DG = np.asarray(coco_mask.iou(seen.dt_shapes, seen.gt_shapes, seen.is_crowd))[seen.keeps_dt][:, seen.keeps_gt]
    matched_dt, matched_gt = linear_sum_assignment(-iou_DG)
    reached = iou_DG[matched_dt, matched_gt][:, None] >= IOU_THRESHOLDS
    return _Match(n_gt, n_dt, reached.sum(axis=0).astype(np.int64))


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
