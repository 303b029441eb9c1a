"""What each prediction shares with each instance of the truth, pair by pair: all that CGF1 needs of the masks.

Legend: D predictions of a pair, G instances of its truth.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from training import masks

SCORE_THRESHOLD = 0.5
PAIRS_AT_ONCE = 64  # masks of so many pairs are checked together

Document = Mapping[str, Any]
Row = dict[str, Any]


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


@dataclass(frozen=True)
class Overlap:
    """One pair as one ground truth sees it: the instances that count, and what each prediction shares with each."""

    pair_id: Any
    truths: list[Row]  # the rows of G
    gt_shapes: list[Any]  # as pycocotools takes them, checked
    scores_D: np.ndarray
    iou_DG: np.ndarray

    def matched(self, threshold: float = SCORE_THRESHOLD) -> tuple[np.ndarray, np.ndarray]:
        """Places in G and their IoU: highest total IoU of what is kept, independent of scores and IoU thresholds."""
        iou_KG = self.iou_DG[self.scores_D >= threshold]
        if not iou_KG.size:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        matched_dt, matched_gt = linear_sum_assignment(-iou_KG)
        return matched_gt, iou_KG[matched_dt, matched_gt]


@dataclass
class _Candidates:
    """One pair as seen by one ground truth before anything is compared: shapes and rows of what counts."""

    pair_id: Any
    dt_shapes: list[Any]
    gt_shapes: list[Any]
    scores_D: np.ndarray
    truths: list[Row]


def overlaps(
    documents: Sequence[Document],
    predictions: list[Row],
    iou_type: str = "segm",
    *,
    least_score: float = -math.inf,
) -> Iterator[list[Overlap]]:
    """Pair by pair, of each document; predictions below least_score are left out. Few pairs are held at once."""
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
    for start in range(0, len(pair_ids), PAIRS_AT_ONCE):
        found = [
            [_candidates(truth, pair, rows_of_pair.get(pair, []), iou_type, least_score) for truth in truths]
            for pair in pair_ids[start : start + PAIRS_AT_ONCE]
        ]
        if iou_type == "segm":
            masks.check_rles(_distinct_shapes(found))
        yield from ([_overlap(seen) for seen in of_pair] for of_pair in found)


def _exhaustive_pairs(truths: list[_GroundTruth]) -> list[Any]:
    excluded = {image["id"] for truth in truths[1:] for image in truth.images if not image["is_instance_exhaustive"]}
    return [
        image["id"] for image in truths[0].images if image["is_instance_exhaustive"] and image["id"] not in excluded
    ]


def _distinct_shapes(found: list[list[_Candidates]]) -> list[Any]:
    shapes = {id(shape): shape for of_pair in found for seen in of_pair for shape in seen.dt_shapes + seen.gt_shapes}
    return list(shapes.values())


def _candidates(truth: _GroundTruth, pair_id: Any, rows: list[Row], iou_type: str, least_score: float) -> _Candidates:
    assert not rows or pair_id in truth.image_by_id, (
        f"pair {pair_id} has predictions, but one of the ground truths lacks it"
    )
    image = truth.image_by_id.get(pair_id, {})
    dt_all, gt_all = _complete(rows, iou_type), truth.annotations(pair_id)
    shape_of = {id(row): _shape(row, image, iou_type) for row in dt_all + gt_all}
    dt = [row for row in truth.listed(dt_all) if row["score"] >= least_score]
    gt = [row for row in truth.listed(gt_all) if not row["iscrowd"]]
    return _Candidates(
        pair_id,
        [shape_of[id(row)] for row in dt],
        [shape_of[id(row)] for row in gt],
        np.array([row["score"] for row in dt], dtype=np.float64),
        gt,
    )


def _overlap(seen: _Candidates) -> Overlap:
    iou_DG = np.zeros((len(seen.dt_shapes), len(seen.gt_shapes)))
    if iou_DG.size:
        iou_DG = np.asarray(coco_mask.iou(seen.dt_shapes, seen.gt_shapes, [0] * len(seen.gt_shapes)))
    return Overlap(seen.pair_id, seen.truths, seen.gt_shapes, seen.scores_D, iou_DG)


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
