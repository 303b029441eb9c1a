"""COCO's average precision of one concept's predictions, of the pairs as they are and of pairs drawn anew.

pycocotools does the matching and the sum; a pair is what it calls an image, so that a prediction on a verified negative
is a false positive. Matching is done once, a bootstrap only sums anew.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

MOST_PREDICTIONS = 100


class AveragePrecision:
    """`pair_ids` is the order of the places that `of` takes; `kind` is bbox or segm."""

    def __init__(
        self, document: dict[str, Any], predictions: list[dict[str, Any]], pair_ids: Sequence[int], kind: str
    ) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = {**document, "annotations": [_in_pixels(row) for row in document["annotations"]]}
            truth.createIndex()
            self._judge = COCOeval(truth, _results(truth, predictions), kind)
            settings = self._judge.params
            settings.imgIds, settings.maxDets = list(pair_ids), [MOST_PREDICTIONS]
            settings.areaRng, settings.areaRngLbl = [[0, 1e10]], ["all"]
            self._judge.evaluate()
        # COCOeval puts the images in the order of their ids, whatever order it was given.
        self._matched = dict(zip(sorted(pair_ids), self._judge.evalImgs, strict=True))
        self._pair_ids = list(pair_ids)

    def official(self) -> float:
        """Mean over IoU 0.50 to 0.95 of all pairs, as pycocotools sums it; 0 where no pair holds an instance."""
        with contextlib.redirect_stdout(io.StringIO()):
            self._judge.accumulate()
        precision = self._judge.eval["precision"]
        known = precision[precision > -1]
        return float(known.mean()) if known.size else 0.0

    def of(self, places: Sequence[int] | np.ndarray) -> float:
        """The same of the pairs at these places, a place drawn twice counting twice; fifty times faster."""
        matched = [one for place in places if (one := self._matched[self._pair_ids[place]]) is not None]
        objects = sum(int((one["gtIgnore"] == 0).sum()) for one in matched)
        if not objects:
            return 0.0
        scores = np.concatenate([one["dtScores"] for one in matched])
        hits_TD = np.concatenate([one["dtMatches"] for one in matched], axis=1) > 0
        hits_TD = hits_TD[:, np.argsort(-scores, kind="mergesort")]
        found_TD = hits_TD.cumsum(axis=1)
        precision_TD = found_TD / np.arange(1, hits_TD.shape[1] + 1)
        best_from_TD = np.maximum.accumulate(precision_TD[:, ::-1], axis=1)[:, ::-1]
        wanted = self._judge.params.recThrs
        return float(
            np.mean(
                [_read_at(found / objects, best, wanted) for found, best in zip(found_TD, best_from_TD, strict=True)]
            )
        )


def _read_at(recall: np.ndarray, precision: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Precision where each recall is first reached, 0 where it never is."""
    first = np.searchsorted(recall, wanted, side="left")
    return np.where(first < len(recall), np.append(precision, 0.0)[np.minimum(first, len(recall))], 0.0)


def _in_pixels(row: dict[str, Any]) -> dict[str, Any]:
    """SA-Co's boxes and areas are shares of the image; COCO's are pixels."""
    rle = row["segmentation"]
    return {**row, "bbox": coco_mask.toBbox(rle).tolist(), "area": float(coco_mask.area(rle))}


def _results(truth: COCO, predictions: list[dict[str, Any]]) -> COCO:
    """As COCO.loadRes() makes them, which would take the boxes for the masks and refuses an empty list."""
    made = COCO()
    rows = [
        {**row, "id": number, "area": float(coco_mask.area(row["segmentation"])), "iscrowd": 0}
        for number, row in enumerate(predictions, 1)
    ]
    made.dataset = {"images": truth.dataset["images"], "categories": truth.dataset["categories"], "annotations": rows}
    made.createIndex()
    return made
