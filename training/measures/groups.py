"""CGF1, its parts and average precision of all judged pairs or of some, each with n and interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolbox.cgf1_sums import cgf1_of_sums, mcc_of_sums, pmf1_of_sums
from training import cgf1
from training.measures.figures import Figures, count_scenes, redrawn, share, too_few
from training.measures.matches import Matches, Objects
from training.measures.precision import AREAS_PX, Matched, add_average_precision

MODEL_ORIGINS = ("proposal", "exemplar", "box")
PERSON_ORIGINS = ("drawn", "click")
PARTS = 3 * len(cgf1.IOU_THRESHOLDS)


@dataclass(frozen=True)
class Judged:
    """What one model found in one set, and whose the P pairs are; `boxes` are matched by box, for ap_box."""

    matches: Matches
    by_area: Mapping[str, Matched]
    boxes: Matched
    scene_P: np.ndarray
    concepts: Sequence[str]
    sources: Sequence[str]
    seed: int

    @property
    def is_positive_P(self) -> np.ndarray:
        return self.matches.pairs.is_positive_P


def counts_of(pairs: cgf1.PairCounts, scene_P: np.ndarray) -> dict[str, int]:
    positives = int(pairs.is_positive_P.sum())
    return {
        "pairs": len(pairs),
        "positives": positives,
        "negatives": len(pairs) - positives,
        "instances": int(pairs.n_gt_P.sum()),
        "scenes": len(np.unique(scene_P)),
    }


def all_figures(judged: Judged) -> Figures:
    figures = Figures()
    add_cgf1(figures, judged.matches.pairs, judged.scene_P, judged.seed)
    for area in AREAS_PX:
        names = {"ap": "ap", "ap50": "ap50", "ap75": "ap75", "ar": "ar"} if area == "all" else _sized(area)
        add_average_precision(figures, {area: judged.by_area[area]}, judged.scene_P, judged.seed, names)
    boxes = {"ap_box": "ap", "ap50_box": "ap50"}
    add_average_precision(figures, {"all": judged.boxes}, judged.scene_P, judged.seed, boxes)
    return figures


def _sized(area: str) -> dict[str, str]:
    return {f"ap_{area}": "ap", f"ar_{area}": "ar"}


def add_cgf1(figures: Figures, pairs: cgf1.PairCounts, scene_P: np.ndarray, seed: int) -> None:
    """cgf1, pmf1, il_mcc, il_fpr and il_recall at score 0.5: the official figures, where the pairs can say them."""
    positive_P = pairs.is_positive_P
    positives, negatives = int(positive_P.sum()), int((~positive_P).sum())
    official = cgf1.summarise(pairs)
    terms_PK = cgf1.sums_of(pairs)
    scenes = {
        "with positives": count_scenes(scene_P, positive_P),
        "with negatives": count_scenes(scene_P, ~positive_P),
    }
    if positives:
        few = too_few({"with positives": scenes["with positives"]})
        interval = few or redrawn(_pmf1_of_sums, terms_PK, scene_P, seed)
        figures.add("pmf1", official["cgF1_eval_segm_positive_micro_F1"], positives, interval)
    else:
        figures.leave_out(("pmf1",), 0, "No judged pair is positive: no mask can be right.")
    for name, key, of_sums in (
        ("cgf1", "cgF1", cgf1_of_sums),
        ("il_mcc", "IL_MCC", mcc_of_sums),
    ):
        if not positives or not negatives:
            figures.leave_out((name,), len(pairs), one_sided(positives, negatives))
            continue
        interval = too_few(scenes) or redrawn(_where_two_sided(of_sums), terms_PK, scene_P, seed)
        figures.add(name, official[f"cgF1_eval_segm_{key}"], len(pairs), interval)
    _add_rate(figures, "il_recall", pairs.fires_P[positive_P], scene_P[positive_P], "No judged pair is positive.")
    _add_rate(figures, "il_fpr", pairs.fires_P[~positive_P], scene_P[~positive_P], "No judged pair is negative.")


def one_sided(positives: int, negatives: int) -> str:
    return (
        f"Not judged: {positives} of the judged pairs are positive and {negatives} negative. Without both there is no "
        "correlation, and a CGF1 of 0 says nothing of the masks."
    )


def _add_rate(figures: Figures, name: str, fires_N: np.ndarray, scene_N: np.ndarray, why: str) -> None:
    rate = share(fires_N, scene_N)
    if rate["value"] is None:
        figures.leave_out((name,), 0, why)
    else:
        figures.figures[name] = rate


def _pmf1_of_sums(sums_RK: np.ndarray) -> np.ndarray:
    """nan for a round that has drawn no positive."""
    tp, _, fn = np.split(sums_RK[:, :PARTS], 3, axis=1)
    return np.where((tp + fn)[:, 0] > 0, pmf1_of_sums(sums_RK), np.nan)


def _where_two_sided(of_sums: Any) -> Any:
    """nan for a round that has drawn no positive or no negative."""

    def of(sums_RK: np.ndarray) -> np.ndarray:
        tp, fp, tn, fn = sums_RK[:, PARTS:].T
        return np.where((tp + fn > 0) & (fp + tn > 0), of_sums(sums_RK), np.nan)

    return of


def by_name(judged: Judged, names: Sequence[str]) -> dict[str, Any]:
    """Of each concept or source: what it rests on, its figures, and why some say nothing."""
    of_P = np.array(names, dtype=object)
    return {name: part(judged, of_P == name) for name in sorted(set(names))}


def part(judged: Judged, kept_P: np.ndarray) -> dict[str, Any]:
    pairs, scene_P = judged.matches.pairs.take(np.flatnonzero(kept_P)), judged.scene_P[kept_P]
    figures = Figures()
    add_cgf1(figures, pairs, scene_P, judged.seed)
    matched = {"all": judged.by_area["all"].of_pairs(kept_P)}
    add_average_precision(figures, matched, scene_P, judged.seed, {"ap": "ap", "ap50": "ap50", "ar": "ar"})
    return {"n": counts_of(pairs, scene_P), **figures.plain()}


def by_size(judged: Judged) -> dict[str, Any]:
    """By COCO's three sizes of objects: average precision and recall, and the share found at score and IoU 0.5."""
    objects, answer = judged.matches.objects, {}
    for area, (low, high) in list(AREAS_PX.items())[1:]:
        # COCO's ranges hold both of their ends; here an object has one size.
        kept_G = (objects.area_px_G >= low) & (objects.area_px_G < high)
        figures = Figures()
        add_average_precision(
            figures, {area: judged.by_area[area]}, judged.scene_P, judged.seed, {"ap": "ap", "ap50": "ap50", "ar": "ar"}
        )
        scene_G = judged.scene_P[objects.pair_G[kept_G]]
        _add_rate(figures, "recall", objects.found_G[kept_G], scene_G, f"No object is of {area} size.")
        answer[area] = {"n": _n_of_objects(objects, kept_G, judged.scene_P), **figures.plain()}
    return answer


def _n_of_objects(objects: Objects, kept_G: np.ndarray, scene_P: np.ndarray) -> dict[str, int]:
    pairs = np.unique(objects.pair_G[kept_G])
    n = {"pairs": len(pairs), "positives": len(pairs), "negatives": 0, "instances": int(kept_G.sum())}
    return {**n, "scenes": len(np.unique(scene_P[pairs]))}


def by_drawing(judged: Judged) -> dict[str, Any]:
    """CGF1 of pairs whose every mask a person made, and of those whose every mask came unedited from a model; the
    negatives count in both. A pair of both kinds, or of which the document does not say it, is in neither."""
    objects, answer = judged.matches.objects, {}
    kinds_G = np.array([kind_of(*origin) for origin in objects.origins], dtype=object)
    total_P = judged.matches.pairs.n_gt_P
    for kind in ("people", "model_unedited"):
        of_kind_P = np.bincount(objects.pair_G[kinds_G == kind], minlength=len(total_P))
        whole_P = (total_P > 0) & (of_kind_P == total_P)
        if whole_P.any():
            kept_P = whole_P | (total_P == 0)
            figures = Figures()
            pairs, scene_P = judged.matches.pairs.take(np.flatnonzero(kept_P)), judged.scene_P[kept_P]
            add_cgf1(figures, pairs, scene_P, judged.seed)
            answer[kind] = {"n": counts_of(pairs, scene_P), **figures.plain()}
    return answer


def kind_of(origin: str, is_edited: bool) -> str:
    """What a person clicked, painted or mended is a person's mask; what was accepted as it came is a model's."""
    if origin in PERSON_ORIGINS or (origin in MODEL_ORIGINS and is_edited):
        return "people"
    return "model_unedited" if origin in MODEL_ORIGINS else ""
