"""All figures of one model on one set, each with how many it rests on and an interval: what `measures.json` holds.

Pure functions of a SA-Co document and COCO results; no model, no torch. docs/contracts.md has the shape,
docs/training.md, "CGF1", says how each is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from training import cgf1
from training.measures import groups, thresholds
from training.measures import presence as presences
from training.measures.groups import Judged
from training.measures.matches import matches_of
from training.measures.precision import match_coco

KEEP_SCORE = 0.1

Row = dict[str, Any]


def measured(
    document: cgf1.Document,
    predictions: list[Row],
    *,
    presence: Mapping[Any, float] | None = None,
    keep_score: float = KEEP_SCORE,
    seed: int = 0,
) -> dict[str, Any]:
    """`presence` is by pair id, where it is known; predictions below `keep_score` were not kept. Raises what
    cgf1.evaluate() raises; every mask is checked before pycocotools sees it."""
    judged = _judged(document, predictions, seed)
    figures = groups.all_figures(judged)
    answer = {
        "n": groups.counts_of(judged.matches.pairs, judged.scene_P),
        **figures.plain(),
        "at": thresholds.images_at(judged),
        "objects_at": thresholds.objects_at(judged),
        "scores": thresholds.scores(judged),
        "precision_recall": thresholds.precision_recall(judged, keep_score=keep_score),
        **_of_presence(judged, presence),
        "operating": thresholds.operating(judged),
        "by": {
            "concept": groups.by_name(judged, judged.concepts),
            "source": groups.by_name(judged, judged.sources),
            "size": groups.by_size(judged),
        },
    }
    drawn = groups.by_drawing(judged)
    return answer | ({"drawn": drawn} if drawn else {})


def _judged(document: cgf1.Document, predictions: list[Row], seed: int) -> Judged:
    matches = matches_of(document, predictions)
    ids = matches.pairs.pair_ids
    row_of = {row["id"]: row for row in document["images"]}
    rows = [row_of[pair] for pair in ids]
    # Without a scene a picture is its own; without either a pair is.
    scenes = [str(row.get("scene") or row.get("file_name") or row["id"]) for row in rows]
    return Judged(
        matches,
        *match_coco(document, predictions, ids),
        np.unique(scenes, return_inverse=True)[1],
        [str(row.get("text_input") or "") for row in rows],
        [str(row.get("source") or "") for row in rows],
        seed,
    )


def _of_presence(judged: Judged, presence: Mapping[Any, float] | None) -> dict[str, Any]:
    if presence is None:
        return {"presence": None, "calibration": None}
    presence_P = np.array([presence[pair] for pair in judged.matches.pairs.pair_ids], dtype=np.float64)
    return {
        "presence": presences.histogram(presence_P, judged.is_positive_P),
        "calibration": presences.calibration(presence_P, judged.is_positive_P, judged.scene_P, judged.seed),
    }
