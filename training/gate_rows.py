"""The rows that a decision is made of: what each model answered to each pair of the holdout, kept beside the decision.

A row holds counts alone, so that the decision can be made again from them, by another policy or on part of the pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toolbox.gate_policy import Policy
from training.cgf1 import PairCounts
from training.dataset import Split
from training.evaluate import Evaluation
from training.gate import Asked, Judged, check_holdout, check_scenes, decide
from training.speed import Speed

Row = dict[str, Any]


def rows_of(evaluations: Mapping[str, Evaluation]) -> list[Row]:
    """A row a judged pair; evaluations by role: champion, challenger and, if there is one, baseline."""
    answers = {role: evaluation.pair_rows() for role, evaluation in evaluations.items()}
    shared = ("id", "image", "scene", "text_input", "source", "instances")
    rows = []
    for index, first in enumerate(answers["champion"]):
        row: Row = {key: first[key] for key in shared}
        for role, found in answers.items():
            row[role] = {key: found[index][key] for key in ("presence", "predicted", "true_positives")}
        rows.append(row)
    return rows


def decide_rows(
    rows: Sequence[Row], policy: Policy, *, speed: Speed | None = None, looks: float = 0.0, seed: int = 0
) -> dict[str, Any]:
    """gate.decide() on kept rows."""
    asked = Asked([row["scene"] for row in rows], [row["text_input"] for row in rows])
    baseline = _judged(rows, "baseline") if rows and "baseline" in rows[0] else None
    champion, challenger = _judged(rows, "champion"), _judged(rows, "challenger")
    return decide(champion, challenger, asked, policy, baseline=baseline, speed=speed, looks=looks, seed=seed)


def _judged(rows: Sequence[Row], role: str) -> Judged:
    found = [row[role] for row in rows]
    counts = PairCounts.of(
        *([row[key] for row in rows] for key in ("id", "instances")),
        *([one[key] for one in found] for key in ("predicted", "true_positives")),
    )
    return Judged(counts, np.array([one["presence"] for one in found]))


def check_split(split: Split, policy: Policy) -> None:
    """Refuse a holdout that can't judge before anything is computed."""
    positives = [pair for pair in split.judged if pair.is_positive]
    negatives = [pair for pair in split.judged if not pair.is_positive]
    check_holdout(len(positives), len(negatives))
    check_scenes(len({pair.scene for pair in positives}), len({pair.scene for pair in negatives}), policy)


def unread(holdout: Split, read: Sequence[Split]) -> tuple[Split, int]:
    """Without the pairs that training or the choice of the checkpoint has read, and how many those are: a picture of
    `read`, or another of its scene, can't judge what came of it."""
    images = {pair.image for split in read for pair in split.pairs}
    scenes = {pair.scene for split in read for pair in split.pairs}
    kept = {pair.id for pair in holdout.pairs if pair.image not in images and pair.scene not in scenes}
    document = {
        **holdout.document,
        "images": [row for row in holdout.document["images"] if row["id"] in kept],
        "annotations": [row for row in holdout.document["annotations"] if row["image_id"] in kept],
    }
    pairs = tuple(pair for pair in holdout.pairs if pair.id in kept)
    return Split(holdout.name, document, pairs), len(holdout.pairs) - len(pairs)
