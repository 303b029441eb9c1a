"""May the challenger serve? A pure decision from counts; no model is loaded here.

Both models answered the same holdout pairs. The gain in CGF1 has to be large enough, has to survive a paired bootstrap
that draws whole images (pairs of one image are not independent), and must not be bought with more false alarms.
Legend: P pairs, I images, R bootstrap rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolbox.training_settings import Policy
from training import cgf1
from training.errors import Refused

ROUNDS_AT_ONCE = 500


@dataclass(frozen=True)
class Judged:
    """One model on the holdout: counts a pair, and the presence score it gave each."""

    counts: cgf1.PairCounts
    presence_P: np.ndarray


@dataclass(frozen=True)
class Gain:
    """The difference challenger - champion in CGF1 (fractions) and the bounds of its bootstrap distribution."""

    delta: float
    low: float
    high: float


def check_holdout(positives: int, negatives: int) -> None:
    """Without positives or without negatives the matrix correlation, hence CGF1, is 0 whatever the masks."""
    lacking = [name for name, count in (("positives", positives), ("negatives", negatives)) if count == 0]
    if lacking:
        raise Refused(
            "ungateable_holdout",
            f"The holdout has {positives} positive and {negatives} negative pairs: without {' and '.join(lacking)} "
            "CGF1 is 0 whatever the masks, so no model can be judged. Settle some such pairs in it, then freeze again.",
        )


def decide(
    champion: Judged, challenger: Judged, images: Sequence[str], policy: Policy, seed: int = 0
) -> dict[str, Any]:
    """The part of the gate's manifest that is a decision: see docs/contracts.md. images[p] is the image of pair p."""
    if champion.counts.pair_ids != challenger.counts.pair_ids or len(images) != len(champion.counts):
        raise ValueError("champion and challenger must be judged on the same pairs in the same order")
    positives = int(champion.counts.is_positive_P.sum())
    negatives = len(champion.counts) - positives
    check_holdout(positives, negatives)
    gain = bootstrap_gain(champion.counts, challenger.counts, images, policy, seed)
    alarms = hard_negatives(champion, challenger)
    decision, reasons = _verdict(gain, alarms, _same_answers(champion, challenger), policy)
    return {
        "decision": decision,
        "reasons": reasons,
        "delta_cgf1": gain.delta,
        "bootstrap": {"low": gain.low, "high": gain.high, "rounds": policy.bootstrap, "confidence": policy.confidence},
        "hard_negatives": alarms,
        "holdout": {
            "pairs": len(champion.counts),
            "positives": positives,
            "negatives": negatives,
            "images": len(set(images)),
        },
    }


def bootstrap_gain(
    champion: cgf1.PairCounts, challenger: cgf1.PairCounts, images: Sequence[str], policy: Policy, seed: int
) -> Gain:
    """Draw images with replacement, the same for both models, and look at the spread of the difference."""
    return bootstrap_mean_gain([champion], [challenger], images, policy, seed)


def bootstrap_mean_gain(
    champions: Sequence[cgf1.PairCounts],
    challengers: Sequence[cgf1.PairCounts],
    images: Sequence[str],
    policy: Policy,
    seed: int,
) -> Gain:
    """The same of the mean CGF1 of several models on each side, such as one config's seeds."""
    sides = [[_sums_by_image(counts, images) for counts in side] for side in (champions, challengers)]
    whole = [_mean_cgf1(side, np.ones((1, side[0].shape[0])))[0] for side in sides]
    rng = np.random.default_rng(seed)
    n_images = sides[0][0].shape[0]
    gains = []
    for start in range(0, policy.bootstrap, ROUNDS_AT_ONCE):
        rounds = min(ROUNDS_AT_ONCE, policy.bootstrap - start)
        draws_RI = rng.multinomial(n_images, np.full(n_images, 1 / n_images), size=rounds).astype(np.float64)
        gains.append(_mean_cgf1(sides[1], draws_RI) - _mean_cgf1(sides[0], draws_RI))
    tail = (1 - policy.confidence) / 2
    low, high = np.quantile(np.concatenate(gains), [tail, 1 - tail])
    return Gain(float(whole[1] - whole[0]), float(low), float(high))


def _mean_cgf1(models: Sequence[np.ndarray], draws_RI: np.ndarray) -> np.ndarray:
    """(R,) CGF1 of the redrawn images, the mean over models."""
    return np.mean([cgf1.cgf1_of_sums(draws_RI @ by_image) for by_image in models], axis=0)


def _sums_by_image(counts: cgf1.PairCounts, images: Sequence[str]) -> np.ndarray:
    """(I, 34) additive terms of CGF1, one row an image."""
    _, image_P = np.unique(np.asarray(images), return_inverse=True)
    terms = cgf1.sums_of(counts)
    by_image = np.zeros((int(image_P.max()) + 1, terms.shape[1]))
    np.add.at(by_image, image_P, terms)
    return by_image


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


def _verdict(gain: Gain, alarms: dict[str, Any], is_same: bool, policy: Policy) -> tuple[str, list[str]]:
    if is_same:
        return "reject", ["The challenger finds exactly what the champion finds on the holdout: nothing to promote."]
    enough, enough_words = _judge_size(gain, policy)
    certain, certain_words = _judge_spread(gain, policy)
    quiet, quiet_words = _judge_alarms(alarms, policy)
    reasons = [enough_words, certain_words, quiet_words]
    if enough and certain and quiet:
        return "promote", reasons
    if gain.delta <= 0 or not quiet:
        return "reject", reasons
    return "undecided", [*reasons, "Label more pairs, or enlarge the holdout, and try again."]


def _judge_size(gain: Gain, policy: Policy) -> tuple[bool, str]:
    points = 100 * gain.delta
    enough = points > policy.min_gain_points
    change = "rises" if points > 0 else "falls" if points < 0 else "changes"
    return enough, (
        f"CGF1 {change} by {abs(points):.2f} points; asked for is a rise of more than {policy.min_gain_points:g}."
    )


def _judge_spread(gain: Gain, policy: Policy) -> tuple[bool, str]:
    certain = gain.low > 0
    return certain, (
        f"Over {policy.bootstrap} redrawn holdouts the gain lies between {100 * gain.low:+.2f} and "
        f"{100 * gain.high:+.2f} points ({100 * policy.confidence:g} %): "
        + ("it is above 0." if certain else "it may be chance.")
    )


def _judge_alarms(alarms: dict[str, Any], policy: Policy) -> tuple[bool, str]:
    if not alarms["pairs"]:
        return True, "Neither model fires on any negative of the holdout."
    rise = alarms["challenger_fpr"] - alarms["champion_fpr"]
    quiet = rise <= policy.max_fpr_rise + 1e-12
    return quiet, (
        f"Of {alarms['pairs']} hard negatives the champion fires on {alarms['champion_fires']} "
        f"({100 * alarms['champion_fpr']:.1f} %) and the challenger on {alarms['challenger_fires']} "
        f"({100 * alarms['challenger_fpr']:.1f} %): "
        + (f"no rise beyond the {100 * policy.max_fpr_rise:g} points allowed." if quiet else "too many false alarms.")
    )
