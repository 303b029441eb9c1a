"""May the challenger serve? A pure decision from counts; no model is loaded here.

All models answered the same holdout pairs. The gain in CGF1 has to be large enough and certain, at a level that is
spent over all decisions on the holdout, and must not be bought with false alarms, misses, or one concept's loss. What
the holdout is too small to say is left undecided, with how many more pairs would say it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolbox.gate_policy import Policy
from training import cgf1, gate_rules
from training.errors import Refused
from training.gate_rules import BROKEN, MET, Rule
from training.redrawing import Gain, Holdout, redrawn_gain
from training.speed import Speed

RULES_VERSION = 2  # 1: images redrawn, looks not counted, no false alarm more among hard negatives
SAME = "The challenger finds exactly what the champion finds on the holdout: nothing to promote."


@dataclass(frozen=True)
class Judged:
    """One model on the holdout: counts a pair, and the presence score it gave each."""

    counts: cgf1.PairCounts
    presence_P: np.ndarray


@dataclass(frozen=True)
class Asked:
    """Of each pair: which scene and concept it is of."""

    scenes: Sequence[str]
    concepts: Sequence[str]


def check_holdout(positives: int, negatives: int) -> None:
    """Without positives or without negatives the matrix correlation, hence CGF1, is 0 whatever the masks."""
    lacking = [name for name, count in (("positives", positives), ("negatives", negatives)) if count == 0]
    if lacking:
        raise Refused(
            "ungateable_holdout",
            f"The holdout has {positives} positive and {negatives} negative pairs: without {' and '.join(lacking)} "
            "CGF1 is 0 whatever the masks, so no model can be judged. Settle some such pairs in it, then freeze again.",
        )


def check_scenes(positive: int, negative: int, policy: Policy) -> None:
    """Pictures of one scene are one piece of evidence; a few of them say nothing of what comes next."""
    if min(positive, negative) < policy.min_scenes:
        raise Refused(
            "too_few_scenes",
            f"The holdout's positives show {positive} scenes and its negatives {negative}; the policy asks for "
            f"{policy.min_scenes} of each. Pictures of one scene count once: add others, then freeze again.",
        )


def decide(
    champion: Judged,
    challenger: Judged,
    asked: Asked,
    policy: Policy,
    *,
    baseline: Judged | None = None,
    speed: Speed | None = None,
    looks: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """The part of the gate's manifest that is a decision: see docs/contracts.md.

    `speed`: as measured; None: it was not. `looks`: how many decisions have read this holdout, each by the share of
    today's pairs that it had read.
    """
    holdout = _holdout(champion, challenger, baseline, asked)
    positives = int(holdout.is_positive_P.sum())
    check_holdout(positives, len(holdout.scene_P) - positives)
    scenes = holdout.scenes(positive=True), holdout.scenes(positive=False)
    check_scenes(*scenes, policy)
    gain = redrawn_gain(holdout.champion, holdout.challenger, holdout, policy, seed)
    rules = _rules(holdout, gain, policy, looks, seed)
    if policy.speed_ratio is not None and speed is not None:
        rules.append(gate_rules.judge_speed(speed, policy.speed_ratio))
    decision, reasons = _verdict(rules, is_same=_same_answers(champion, challenger))
    return {
        "decision": decision,
        "reasons": reasons,
        "rules": [rule.plain() for rule in rules],
        "rules_version": RULES_VERSION,
        "delta_cgf1": gain.delta,
        "bootstrap": {"low": gain.low, "high": gain.high, "rounds": policy.bootstrap, "confidence": policy.confidence},
        "hard_negatives": hard_negatives(champion, challenger),
        "holdout": {
            "pairs": len(holdout.scene_P),
            "positives": positives,
            "negatives": len(holdout.scene_P) - positives,
            "scenes": len(np.unique(holdout.scene_P)),
            "positive_scenes": scenes[0],
            "negative_scenes": scenes[1],
        },
    }


def _holdout(champion: Judged, challenger: Judged, baseline: Judged | None, asked: Asked) -> Holdout:
    judged = [one for one in (champion, challenger, baseline) if one is not None]
    pairs = len(champion.counts)
    if any(one.counts.pair_ids != champion.counts.pair_ids for one in judged):
        raise Refused("other_pairs", "The models were not judged on the same pairs in the same order: judge them anew.")
    if any(not np.array_equal(one.counts.n_gt_P, champion.counts.n_gt_P) for one in judged):
        raise Refused("other_pairs", "The models were judged by different truths of the same pairs: judge them anew.")
    if len(asked.scenes) != pairs or len(asked.concepts) != pairs:
        raise ValueError("a scene and a concept are needed for each pair")
    _, scene_P = np.unique(np.asarray(asked.scenes, dtype=object).astype(str), return_inverse=True)
    counts = baseline.counts if baseline else None
    return Holdout(champion.counts, challenger.counts, scene_P, list(asked.concepts), counts)


def _rules(holdout: Holdout, gain: Gain, policy: Policy, looks: float, seed: int) -> list[Rule]:
    rules = [
        gate_rules.judge_size(gain, policy),
        gate_rules.judge_certainty(gain, policy, looks),
        gate_rules.judge_alarms(holdout, policy),
        gate_rules.judge_misses(holdout, policy),
        gate_rules.judge_concepts(holdout, policy, seed),
    ]
    if policy.alarm_cap is not None:
        rules.append(gate_rules.judge_alarm_cap(holdout, policy.alarm_cap, policy))
    if policy.recall_floor is not None:
        rules.append(gate_rules.judge_recall_floor(holdout, policy.recall_floor, policy))
    if policy.above_baseline and holdout.baseline is not None:
        rules.append(gate_rules.judge_baseline(holdout, policy, seed))
    return rules


def _verdict(rules: Sequence[Rule], *, is_same: bool) -> tuple[str, list[str]]:
    reasons = [rule.words for rule in rules]
    if is_same:
        return "reject", [SAME]
    if any(rule.state == BROKEN for rule in rules):
        return "reject", reasons
    return ("promote" if all(rule.state == MET for rule in rules) else "undecided"), reasons


def hard_negatives(champion: Judged, challenger: Judged) -> dict[str, Any]:
    """The holdout's negatives on which either model fires: the same set for both, so that neither chose it."""
    hard_P = ~champion.counts.is_positive_P & (champion.counts.fires_P | challenger.counts.fires_P)
    pairs = int(hard_P.sum())
    answer: dict[str, Any] = {"pairs": pairs}
    for name, judged in (("champion", champion), ("challenger", challenger)):
        answer[f"{name}_fpr"] = float(judged.counts.fires_P[hard_P].mean()) if pairs else 0.0
        answer[f"{name}_mean_presence"] = float(judged.presence_P[hard_P].mean()) if pairs else None
        answer[f"{name}_fires"] = int(judged.counts.fires_P[hard_P].sum())
    return answer


def _same_answers(champion: Judged, challenger: Judged) -> bool:
    return all(
        np.array_equal(getattr(champion.counts, name), getattr(challenger.counts, name)) for name in ("n_dt_P", "tp_PT")
    )
