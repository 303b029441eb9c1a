"""COCO's average precision and recall of the judged pairs: pycocotools matches, a pair is what it calls an image.

Matching is done once; a group of pairs, or scenes drawn anew, are sums over the matches. Legend: P pairs, D predictions
by falling score, S scenes, R rounds, T = 10 IoU thresholds.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from toolbox.cgf1_sums import drawn_scenes
from training import masks
from training.measures.figures import Figures, middle, too_few

ROUNDS = 200  # a round sums up every prediction ten times
ROUNDS_AT_ONCE = 20
MOST_PREDICTIONS = 100  # of a pair, as COCO has it
AREAS_PX = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
RECALLS = np.linspace(0, 1, 101)
IOU_PLACES = {"ap50": 0, "ap75": 5}

Row = dict[str, Any]


@dataclass(frozen=True)
class Matched:
    """Of one range of areas: objects_P to be found, and of each prediction its pair and whether it hits or misses;
    neither where COCO passes over it."""

    objects_P: np.ndarray
    pair_D: np.ndarray
    hit_TD: np.ndarray
    miss_TD: np.ndarray

    def of_pairs(self, kept_P: np.ndarray) -> Matched:
        """Of some pairs (bool), which are numbered anew."""
        kept_D, place_P = kept_P[self.pair_D], np.cumsum(kept_P) - 1
        parts = self.hit_TD[:, kept_D], self.miss_TD[:, kept_D]
        return Matched(self.objects_P[kept_P], place_P[self.pair_D[kept_D]], *parts)

    def once(self) -> tuple[np.ndarray, np.ndarray]:
        """(1, T) average precision and recall of the pairs as they are."""
        return self.of_weights(np.ones((1, len(self.objects_P))))

    def redrawn(self, scene_P: np.ndarray, seed: int, rounds: int = ROUNDS) -> tuple[np.ndarray, np.ndarray]:
        """(R, T) each of sets of scenes drawn with replacement; nan without an object."""
        scenes, place_P = np.unique(scene_P, return_inverse=True)
        return self.of_weights(drawn_scenes(np.random.default_rng(seed), rounds, len(scenes))[:, place_P])

    def of_weights(self, weight_RP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same where each pair counts as often as its weight (a whole number) says."""
        starts = range(0, len(weight_RP), ROUNDS_AT_ONCE)
        precision, recall = zip(*(self._of_few(weight_RP[at : at + ROUNDS_AT_ONCE]) for at in starts), strict=True)
        return np.concatenate(precision), np.concatenate(recall)

    def _of_few(self, weight_RP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        objects_R, weight_RD = weight_RP @ self.objects_P, weight_RP[:, self.pair_D]
        is_known_R = objects_R > 0
        needed_RN = _needed(np.maximum(objects_R, 1))
        precision_RT, recall_RT = np.full((2, len(weight_RP), len(self.hit_TD)), np.nan)
        for t, (hit_D, miss_D) in enumerate(zip(self.hit_TD, self.miss_TD, strict=True)):
            hits_RD, misses_RD = np.cumsum(weight_RD * hit_D, axis=1), np.cumsum(weight_RD * miss_D, axis=1)
            last_R = hits_RD[:, -1] if len(self.pair_D) else np.zeros(len(weight_RP))
            recall_RT[is_known_R, t] = (last_R / np.maximum(objects_R, 1))[is_known_R]
            precision_RT[is_known_R, t] = _average(hits_RD, misses_RD, needed_RN)[is_known_R]
        return precision_RT, recall_RT


def _needed(objects_R: np.ndarray) -> np.ndarray:
    """(R, 101) how many hits first reach each of the recalls, compared as COCO does: as the quotient."""
    hits_RN = np.floor(objects_R[:, None] * RECALLS)
    for _ in range(2):
        hits_RN += hits_RN / objects_R[:, None] < RECALLS
    return hits_RN


def _average(hits_RD: np.ndarray, misses_RD: np.ndarray, needed_RN: np.ndarray) -> np.ndarray:
    """(R,) mean over 101 recalls of the best precision from there on; 0 where a recall is never reached."""
    rounds, many = hits_RD.shape
    precision_RD = hits_RD / (hits_RD + misses_RD + np.spacing(1))
    best_from_RD = np.zeros((rounds, many + 1))
    best_from_RD[:, :many] = np.maximum.accumulate(precision_RD[:, ::-1], axis=1)[:, ::-1]
    # All rounds in one search: each lies above the one before.
    above_R1 = (np.arange(rounds) * (max(hits_RD.max(initial=0.0), needed_RN.max()) + 1))[:, None]
    place_RN = np.searchsorted((hits_RD + above_R1).ravel(), (needed_RN + above_R1).ravel()).reshape(rounds, -1)
    place_RN = np.minimum(place_RN - many * np.arange(rounds)[:, None], many)
    return np.take_along_axis(best_from_RD, place_RN, axis=1).mean(axis=1)


def match_coco(
    document: Mapping[str, Any], predictions: Sequence[Row], pair_ids: Sequence[Any]
) -> tuple[dict[str, Matched], Matched]:
    """By area, and by boxes instead of masks. P in the order of pair_ids; areas and boxes are in pixels."""
    place_of = {pair: place for place, pair in enumerate(pair_ids)}
    pairs = {row["id"]: row for row in document["images"] if row["id"] in place_of}
    listed = {row["id"] for row in document["categories"]}
    truth, found = (_coco(pairs, place_of, listed, rows) for rows in (document.get("annotations", []), predictions))
    return _judge(truth, found, "segm", AREAS_PX), _judge(truth, found, "bbox", {"all": AREAS_PX["all"]})["all"]


def _judge(truth: COCO, found: COCO, kind: str, areas: Mapping[str, tuple[float, float]]) -> dict[str, Matched]:
    with contextlib.redirect_stdout(io.StringIO()):
        judge = COCOeval(truth, found, kind)
        settings = judge.params
        settings.maxDets, settings.useCats = [MOST_PREDICTIONS], 0
        settings.areaRng, settings.areaRngLbl = [list(area) for area in areas.values()], list(areas)
        judge.evaluate()
    many = len(settings.imgIds)
    return {area: _matched(judge.evalImgs[at * many : (at + 1) * many]) for at, area in enumerate(areas)}


def _matched(found: list[dict[str, Any] | None]) -> Matched:
    known = [(place, one) for place, one in enumerate(found) if one is not None]
    objects_P = np.zeros(len(found), dtype=np.int64)
    for place, one in known:
        objects_P[place] = int((one["gtIgnore"] == 0).sum())
    scores_D = np.concatenate([np.zeros(0), *(one["dtScores"] for _, one in known)])
    order = np.argsort(-scores_D, kind="mergesort")  # as COCOeval.accumulate() has it: ties by pair
    no_place, no_match = np.zeros(0, dtype=np.int64), np.zeros((10, 0), dtype=bool)
    pair_D = np.concatenate([no_place, *(np.full(len(one["dtScores"]), place) for place, one in known)])
    is_hit = np.concatenate([no_match, *(one["dtMatches"] > 0 for _, one in known)], axis=1)
    counts = ~np.concatenate([no_match, *(one["dtIgnore"].astype(bool) for _, one in known)], axis=1)
    return Matched(objects_P, pair_D[order], (is_hit & counts)[:, order], (~is_hit & counts)[:, order])


def _coco(pairs: Mapping[Any, Row], place_of: Mapping[Any, int], listed: set[Any], rows: Sequence[Row]) -> COCO:
    """Not COCO.loadRes(), which would take the boxes for the masks and refuses an empty list. An id of 0 would read as
    no match, so all are given anew."""
    kept = [row for row in rows if row["image_id"] in place_of and row["category_id"] in listed]
    shapes = [_shape(row, pairs[row["image_id"]]) for row in kept]
    masks.check_rles(shapes)  # those of crowds as well, which CGF1 passes over
    with contextlib.redirect_stdout(io.StringIO()):
        made = COCO()
        made.dataset = {
            "images": [
                {"id": place, "height": pairs[pair]["height"], "width": pairs[pair]["width"]}
                for pair, place in place_of.items()
            ],
            "categories": [{"id": 1, "name": "object"}],
            "annotations": [
                _in_pixels(row, shape) | {"id": number, "image_id": place_of[row["image_id"]]}
                for number, (row, shape) in enumerate(zip(kept, shapes, strict=True), 1)
            ],
        }
        made.createIndex()
    return made


def _shape(row: Row, pair: Row) -> Row:
    return masks.to_compressed(row["segmentation"], height_px=pair["height"], width_px=pair["width"])


def _in_pixels(row: Row, shape: Row) -> Row:
    """Boxes and areas of the mask: SA-Co's own, and those of official dumps, are shares of the image."""
    is_found = "score" in row
    box = coco_mask.toBbox(shape).tolist()
    told = {"score": row["score"]} if is_found else {}
    shared = {"category_id": 1, "iscrowd": 0 if is_found else row["iscrowd"]}
    return {**told, **shared, "segmentation": shape, "bbox": box, "area": float(coco_mask.area(shape))}


def add_average_precision(
    figures: Figures, matched: Mapping[str, Matched], scene_P: np.ndarray, seed: int, names: Mapping[str, str]
) -> None:
    """names: {figure: ap, ap50, ap75 or ar}, all of one area, which `matched` holds alone."""
    ((area, of_area),) = matched.items()
    objects = int(of_area.objects_P.sum())
    if not objects:
        size = "" if area == "all" else f" of {area} size"
        figures.leave_out(tuple(names), 0, f"No judged pair holds an object{size}: there is nothing to find.")
        return
    kind = "with objects" if area == "all" else f"with {area} objects"
    few = too_few({kind: len(np.unique(scene_P[of_area.objects_P > 0]))})
    once = of_area.once()
    drawn = once if few else of_area.redrawn(scene_P, seed)
    for name, what in names.items():
        figures.add(name, float(_of_rounds(what, *once)[0]), objects, few or middle(_of_rounds(what, *drawn)))


def _of_rounds(what: str, precision_RT: np.ndarray, recall_RT: np.ndarray) -> np.ndarray:
    if what == "ar":
        return recall_RT.mean(axis=1)
    return precision_RT.mean(axis=1) if what == "ap" else precision_RT[:, IOU_PLACES[what]]
