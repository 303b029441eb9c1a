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
from training.errors import Refused
from training.evaluate import Evaluation
from training.gate import Asked, Judged, check_holdout, check_scenes, decide

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


def decide_rows(rows: Sequence[Row], policy: Policy, *, looks: float = 0.0, seed: int = 0) -> dict[str, Any]:
    """gate.decide() on kept rows."""
    asked = Asked([row["scene"] for row in rows], [row["text_input"] for row in rows])
    baseline = _judged(rows, "baseline") if rows and "baseline" in rows[0] else None
    champion, challenger = _judged(rows, "champion"), _judged(rows, "challenger")
    return decide(champion, challenger, asked, policy, baseline=baseline, looks=looks, seed=seed)


def _judged(rows: Sequence[Row], role: str) -> Judged:
    found = [row[role] for row in rows]
    counts = PairCounts(
        [row["id"] for row in rows],
        np.array([row["instances"] for row in rows], dtype=np.int64),
        np.array([one["predicted"] for one in found], dtype=np.int64),
        np.array([one["true_positives"] for one in found], dtype=np.int64).reshape(len(rows), -1),
    )
    return Judged(counts, np.array([one["presence"] for one in found]))


def check_split(split: Split, policy: Policy) -> None:
    """Refuse a holdout that can't judge before anything is computed."""
    positives = [pair for pair in split.judged if pair.is_positive]
    negatives = [pair for pair in split.judged if not pair.is_positive]
    check_holdout(len(positives), len(negatives))
    check_scenes(len({pair.scene for pair in positives}), len({pair.scene for pair in negatives}), policy)


def check_unseen(holdout: Split, read: Sequence[Split]) -> None:
    """Refused where the challenger was trained or chosen on what is to judge it: the same picture, or its scene."""
    seen_images = {pair.image for split in read for pair in split.pairs}
    seen_scenes = {pair.scene for split in read for pair in split.pairs}
    images = sorted({pair.image for pair in holdout.judged if pair.image in seen_images})
    alike = sorted({pair.image for pair in holdout.judged if pair.scene in seen_scenes} - set(images))
    if not images and not alike:
        return
    raise Refused(
        "holdout_was_read",
        f"Of the holdout's pictures {len(images)} are in train or val as well and {len(alike)} show the scene of one "
        f"that is (the first: {(images or alike)[0][:12]}…): training has read what is to judge it. Move each scene "
        "wholly into one split (the page «Splits» does it), freeze again and train on that.",
    )
