"""The pairs that went worst: negatives that fired first, the surest of them on top, then positives by their error.

Masks are kept at a small size, so that a report of many pairs stays small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from training import masks
from training.dataset import Pair
from training.errors import Refused
from training.reporting.source import Evaluated, Row

SIDE_PX = 640
SCORE = 0.5  # the official threshold: what is below was not drawn
SAME_OBJECT_IOU = 0.5
FALSE_ALARM, MISSED, PARTLY = "false_alarm", "missed", "partly"


@dataclass(frozen=True)
class Fault:
    """A pair that went wrong. `error`: 1 - the pair's own F1 over the ten IoU thresholds; 1 for a false alarm."""

    id: int
    kind: str
    error: float
    score: float
    row: Row


def faults(rows: Sequence[Row], results: Mapping[int, Sequence[Row]]) -> list[Fault]:
    """Worst first; pairs without an error are none. Equal ones by id, so that two reports agree."""
    found = [fault for row in rows if (fault := _fault(row, results.get(row["id"], ()))) is not None]
    return sorted(found, key=lambda one: (one.kind != FALSE_ALARM, -one.error, -one.score, one.id))


def _fault(row: Row, results: Sequence[Row]) -> Fault | None:
    score = max((float(one["score"]) for one in results), default=0.0)
    if not row["instances"]:
        return Fault(row["id"], FALSE_ALARM, 1.0, score, row) if row["predicted"] else None
    hits = row["true_positives"]
    error = 1 - 2 * sum(hits) / (len(hits) * (row["instances"] + row["predicted"]))
    if error <= 0:
        return None
    return Fault(row["id"], PARTLY if max(hits) else MISSED, error, score, row)


def gallery_entry(fault: Fault, pair: Pair, evaluated: Evaluated) -> dict[str, Any]:
    """With truth and prediction as small masks: `hit` and `false` of what was drawn, `missed` of what was not."""
    scale = min(1.0, SIDE_PX / max(pair.width_px, pair.height_px))
    size = (max(1, round(pair.height_px * scale)), max(1, round(pair.width_px * scale)))
    drawn = _drawn(pair, evaluated.results[pair.id])
    kinds, missed = _matched(pair, drawn)

    def small(rle: masks.Rle) -> masks.Rle:
        return shrunk(rle, pair, size)

    found = [
        {"kind": kind, "score": round(float(row["score"]), 4), "mask": small(row["segmentation"])}
        for kind, row in zip(kinds, drawn, strict=True)
    ]
    return {
        "id": pair.id,
        "image": pair.image,
        "text_input": pair.phrase,
        "source": pair.source,
        "width": size[1],
        "height": size[0],
        "kind": fault.kind,
        "error": round(fault.error, 4),
        "presence": fault.row["presence"],
        "truth": [small(instance.rle) for instance in pair.instances],
        "found": found,
        "missed": [small(pair.instances[place].rle) for place in missed],
    }


def _drawn(pair: Pair, results: Sequence[Row]) -> list[Row]:
    rows = sorted((row for row in results if row["score"] >= SCORE), key=lambda row: -row["score"])
    try:
        for row in rows:
            if list(row["segmentation"]["size"]) != [pair.height_px, pair.width_px]:
                raise masks.MaskError("its size is not the image's")
        masks.check_rles([row["segmentation"] for row in rows])
    except (masks.MaskError, KeyError, TypeError) as error:
        words = f"predictions.json has a mask of pair {pair.id} that can't be drawn: {error}. Judge the model again."
        raise Refused("malformed_evaluation", words) from None
    return rows


def _matched(pair: Pair, drawn: Sequence[Row]) -> tuple[list[str], list[int]]:
    """Best score first, each takes the open object that it overlaps most, at IoU 0.5 or more."""
    open_truth, kinds = list(range(len(pair.instances))), []
    truth = [instance.rle for instance in pair.instances]
    overlaps = coco_mask.iou([row["segmentation"] for row in drawn], truth, [0] * len(truth)) if drawn and truth else []
    for place, _ in enumerate(drawn):
        best = max(open_truth, key=lambda one: overlaps[place][one], default=None)
        is_hit = best is not None and overlaps[place][best] >= SAME_OBJECT_IOU
        kinds.append("hit" if is_hit else "false")
        if is_hit and best is not None:
            open_truth.remove(best)
    return kinds, open_truth


def shrunk(rle: masks.Rle, pair: Pair, size_hw: tuple[int, int]) -> masks.Rle:
    """A pixel is the object's where half of what it stands for is; an object keeps one at least."""
    if size_hw == (pair.height_px, pair.width_px):
        return {"size": list(rle["size"]), "counts": rle["counts"]}
    mask_HW = masks.decode_rle(rle, height_px=pair.height_px, width_px=pair.width_px)
    whole = Image.fromarray(mask_HW.astype(np.uint8) * 255)
    share_hw = np.asarray(whole.resize((size_hw[1], size_hw[0]), Image.Resampling.BOX))
    least = min(128, max(1, int(share_hw.max())))
    return masks.encode_mask(share_hw >= least)
