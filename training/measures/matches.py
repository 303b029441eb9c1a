"""What the predictions of one model found, at every score threshold: made once from the masks, then only counted.

At a threshold, what is kept is matched as CGF1 matches it (highest total IoU), so that 0.5 gives the official counts.
Scores of true and false positives come from the other way to match, best score first, which needs no threshold.
Legend: P pairs, T = 10 IoU thresholds, H score thresholds, G objects of the truth in all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from training import cgf1
from training.cgf1.overlaps import Overlap, overlaps

THRESHOLDS = tuple(round(0.1 + 0.05 * step, 2) for step in range(18))
OFFICIAL = THRESHOLDS.index(cgf1.SCORE_THRESHOLD)
OBJECT_IOU = 0.5

Row = dict[str, Any]


@dataclass(frozen=True)
class Objects:
    """The instances of the truth, all pairs in one: whose they are, how large, how they came about, and if found."""

    pair_G: np.ndarray  # place in P
    area_px_G: np.ndarray
    found_G: np.ndarray  # at score 0.5 and IoU 0.5
    origins: list[tuple[str, bool]]  # origin and whether a person edited it; "": the document does not say


@dataclass(frozen=True)
class Matches:
    """`pairs` are the official counts; kept_PH and hits_PH (at IoU 0.5) are by THRESHOLDS."""

    pairs: cgf1.PairCounts
    kept_PH: np.ndarray
    hits_PH: np.ndarray
    best_score_P: np.ndarray  # 0 where nothing is kept
    hit_scores: np.ndarray
    miss_scores: np.ndarray
    objects: Objects


def matches_of(document: cgf1.Document, predictions: list[Row]) -> Matches:
    ids: list[Any] = []
    kept, hits, reached, scores, hit_scores, objects = [], [], [], [], [], []
    for place, (overlap,) in enumerate(overlaps([document], predictions)):
        ids.append(overlap.pair_id)
        hit_scores.append(best_first(overlap))  # it needs every IoU, which the matches then have
        at = [overlap.matched(threshold) for threshold in THRESHOLDS]
        kept.append([int((overlap.scores_D >= threshold).sum()) for threshold in THRESHOLDS])
        hits.append([int((iou >= OBJECT_IOU).sum()) for _, iou in at])
        reached.append(cgf1.reached(at[OFFICIAL][1]))
        scores.append(overlap.scores_D)
        objects.append(_objects(place, overlap, *at[OFFICIAL]))
    kept_PH, hits_PH = np.array(kept, dtype=np.int64), np.array(hits, dtype=np.int64)
    n_gt_P = np.array([len(of_pair.origins) for of_pair in objects], dtype=np.int64)
    all_scores, is_hit = np.concatenate(scores), np.concatenate(hit_scores)
    return Matches(
        cgf1.PairCounts(ids, n_gt_P, kept_PH[:, OFFICIAL], np.stack(reached)),
        kept_PH,
        hits_PH,
        np.array([one.max(initial=0.0) for one in scores]),
        all_scores[is_hit],
        all_scores[~is_hit],
        _joined(objects),
    )


def best_first(overlap: Overlap) -> np.ndarray:
    """(D,) whether each prediction, by falling score, finds an object at IoU 0.5 that none before it has taken."""
    is_hit = np.zeros(len(overlap.scores_D), dtype=bool)
    free_DG = np.array(overlap.iou_DG)
    if not free_DG.shape[1]:
        return is_hit
    for place in np.argsort(-overlap.scores_D, kind="stable"):
        taken = int(free_DG[place].argmax())
        if free_DG[place, taken] >= OBJECT_IOU:
            is_hit[place], free_DG[:, taken] = True, -1.0
    return is_hit


def _objects(place: int, overlap: Overlap, matched_gt: np.ndarray, iou_M: np.ndarray) -> Objects:
    found_G = np.zeros(len(overlap.truths), dtype=bool)
    found_G[matched_gt[iou_M >= OBJECT_IOU]] = True
    return Objects(
        np.full(len(found_G), place),
        # Of the masks: the area that a document tells may be pixels or a share of the image.
        # One by one: pycocotools 2.0.11 fails on a list of more than 255.
        np.array([coco_mask.area(shape) for shape in overlap.gt_shapes], dtype=np.float64),
        found_G,
        [(str(row.get("origin") or ""), bool(row.get("edited"))) for row in overlap.truths],
    )


def _joined(objects: Sequence[Objects]) -> Objects:
    pair_G, area_px_G, found_G = (
        np.concatenate([getattr(one, key) for one in objects]) for key in ("pair_G", "area_px_G", "found_G")
    )
    return Objects(pair_G, area_px_G, found_G, [origin for one in objects for origin in one.origins])
