"""What a challenger is asked before it may serve, one rule each: met, broken, or open until more is labelled.

A rule is broken where the data say so for certain, and open where they say too little. Legend: P pairs, S scenes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolbox.cgf1_sums import mcc_of_sums
from toolbox.gate_policy import NONE_MORE, Policy
from training.intervals import PairedRise, holm, level_of_look, paired_rise, proportion
from training.redrawing import Gain, Holdout, redrawn_gain
from training.speed import CLICK, ENCODE, Speed

POWER = 0.8  # "found four times in five"
CONCEPT_PAIRS = 20  # of either kind, before a concept is judged by itself
MET, OPEN, BROKEN = "met", "open", "broken"


@dataclass(frozen=True)
class Rule:
    """`figures` are fractions and counts for the report; `more_pairs` how many more of `kind` would settle it."""

    name: str
    state: str
    words: str
    figures: dict[str, Any] = field(default_factory=dict)
    more_pairs: int | None = None
    kind: str = "pairs"

    def plain(self) -> dict[str, Any]:
        needs = {"more_pairs": self.more_pairs, "kind": self.kind} if self.more_pairs else {}
        return {"name": self.name, "state": self.state, "words": self.words, **self.figures, **needs}


def judge_size(gain: Gain, policy: Policy) -> Rule:
    points = 100 * gain.delta
    change = "rises" if points > 0 else "falls" if points < 0 else "does not change"
    told = f"CGF1 {change} by {abs(points):.2f} points" if points else "CGF1 does not change"
    words = f"{told}; asked for is a rise of more than {policy.min_gain_points:g}."
    state = MET if points > policy.min_gain_points else OPEN if points > 0 else BROKEN
    return Rule("gain", state, words, {"gain": gain.delta, "asked": policy.min_gain_points / 100})


def judge_certainty(gain: Gain, policy: Policy, looks: float) -> Rule:
    """The level is spent over all decisions on this holdout, whoever was the challenger."""
    level = level_of_look(policy.level, looks)
    low = gain.low_at(level)
    told = (
        "This is the first decision on this holdout" if not looks else f"{looks:.2g} decisions read this holdout before"
    )
    words = (
        f"The gain lies between {100 * gain.low:+.2f} and {100 * gain.high:+.2f} points "
        f"({100 * policy.confidence:g} %, {policy.bootstrap} redrawn holdouts). {told}, so chance may do as well "
        f"{_once_in(level)}: the bound for that is {100 * low:+.2f}, "
        + ("above 0." if low > 0 else "not above 0: it may be chance.")
    )
    figures = {"low": low, "level": level, "earlier_looks": looks, "detectable": gain.detectable(level, POWER)}
    if low > 0:
        return Rule("certainty", MET, words, figures)
    more = gain.more_pairs(level, POWER)
    return Rule("certainty", OPEN, words + _until(more, "pairs"), figures, more)


def judge_alarms(holdout: Holdout, policy: Policy) -> Rule:
    """False alarms over all negatives: paired, so that what both models do cancels."""
    negative_P = ~holdout.is_positive_P
    champion_P, challenger_P = (one.fires_P[negative_P] for one in (holdout.champion, holdout.challenger))
    rise = paired_rise(champion_P, challenger_P, holdout.scene_P[negative_P])
    told = (
        f"On {rise.of} negatives the champion fires {_times(champion_P)}, the challenger {_times(challenger_P)}, "
        f"a change of {100 * rise.rise:+.2f} points"
    )
    if policy.alarms == NONE_MORE:
        state = MET if rise.rise <= 0 else BROKEN
        return Rule("alarms", state, f"{told}; the policy allows no more than before.", _rise_figures(rise, policy))
    return _within_margin("alarms", told, rise, policy.alarm_margin, policy, "negatives")


def judge_misses(holdout: Holdout, policy: Policy) -> Rule:
    """Positives on which a model finds nothing at all."""
    positive_P = holdout.is_positive_P
    champion_P, challenger_P = (~one.fires_P[positive_P] for one in (holdout.champion, holdout.challenger))
    rise = paired_rise(champion_P, challenger_P, holdout.scene_P[positive_P])
    told = (
        f"Of {rise.of} positives the champion misses {int(champion_P.sum())} wholly, the challenger "
        f"{int(challenger_P.sum())}, a change of {100 * rise.rise:+.2f} points"
    )
    return _within_margin("misses", told, rise, policy.recall_margin, policy, "positives")


def _within_margin(name: str, told: str, rise: PairedRise, margin: float, policy: Policy, kind: str) -> Rule:
    upper, lower = rise.upper(policy.confidence), rise.lower(_both_sides(policy))
    words = f"{told}; {100 * policy.confidence:g} % certain is that it is at most {100 * upper:+.2f}"
    figures = _rise_figures(rise, policy) | {"margin": margin}
    allowed = f"the policy allows {100 * margin:g}"
    if upper <= margin:
        return Rule(name, MET, f"{words}, and {allowed}.", figures)
    if lower > 0:
        return Rule(name, BROKEN, f"{words} and at least {100 * lower:+.2f}: more for certain; {allowed}.", figures)
    needed = rise.pairs_until_below(margin, policy.confidence)
    more = None if needed is None else max(1, needed - rise.of)
    return Rule(name, OPEN, f"{words}, {allowed}.{_until(more, kind)}", figures, more, kind)


def _rise_figures(rise: PairedRise, policy: Policy) -> dict[str, Any]:
    return {
        "of": rise.of,
        "more": rise.more,
        "fewer": rise.fewer,
        "rise": rise.rise,
        "low": rise.lower(_both_sides(policy)),
        "high": rise.upper(policy.confidence),
        "design_effect": round(rise.design_effect, 3),
    }


def judge_alarm_cap(holdout: Holdout, cap: float, policy: Policy) -> Rule:
    negative_P = ~holdout.is_positive_P
    fires_P = holdout.challenger.fires_P[negative_P]
    low, high = proportion(fires_P, holdout.scene_P[negative_P], policy.confidence)
    words = (
        f"The challenger fires on {_range(fires_P, low, high)} of the negatives; the policy's cap is {100 * cap:g} %."
    )
    return Rule("alarm_cap", _against(cap, low, high), words, {"low": low, "high": high, "cap": cap})


def judge_recall_floor(holdout: Holdout, floor: float, policy: Policy) -> Rule:
    fires_P = holdout.challenger.fires_P[holdout.is_positive_P]
    low, high = proportion(fires_P, holdout.scene_P[holdout.is_positive_P], policy.confidence)
    words = (
        f"The challenger finds {_range(fires_P, low, high)} of the positives; the policy's floor is {100 * floor:g} %."
    )
    return Rule("recall_floor", _against(-floor, -high, -low), words, {"low": low, "high": high, "floor": floor})


def _against(limit: float, low: float, high: float) -> str:
    return MET if high <= limit else BROKEN if low > limit else OPEN


def judge_baseline(holdout: Holdout, policy: Policy, seed: int) -> Rule:
    """Does the challenger tell presence from absence better than the model as shipped, for certain?"""
    assert holdout.baseline is not None
    gain = redrawn_gain(holdout.baseline, holdout.challenger, holdout, policy, seed, figure=mcc_of_sums)
    low = gain.low_at(1 - policy.confidence)
    words = (
        f"IL_MCC against the model as shipped: {gain.delta:+.3f}, {100 * policy.confidence:g} % certain is at least "
        f"{low:+.3f}; asked for is more than 0."
    )
    state = MET if low > 0 else BROKEN if gain.high < 0 else OPEN
    return Rule("baseline", state, words, {"gain": gain.delta, "low": low})


def judge_concepts(holdout: Holdout, policy: Policy, seed: int) -> Rule:
    """None of the concepts with enough pairs may have become worse than the margin, judged together."""
    margin, gains = policy.concept_points / 100, {}
    names = sorted(set(holdout.concepts))
    for name in names:
        part = holdout.take(np.flatnonzero(np.array(holdout.concepts, dtype=object) == name))
        if min(part.is_positive_P.sum(), (~part.is_positive_P).sum()) >= CONCEPT_PAIRS:
            gains[name] = redrawn_gain(part.champion, part.challenger, part, policy, seed)
    worse = holm({name: gain.chance_of_at_least(-margin) for name, gain in gains.items()}, 1 - policy.confidence)
    rest = [name for name in names if name not in gains]
    words = f"Judged by themselves: {_named(gains) or 'no concept'}. "
    words += (
        f"Not judged, for fewer than {CONCEPT_PAIRS} positives or {CONCEPT_PAIRS} negatives: {', '.join(rest)}. "
        * bool(rest)
    )
    words += f"Worse by more than {policy.concept_points:g} points for certain: {', '.join(sorted(worse)) or 'none'}."
    figures = {"judged": {name: gain.delta for name, gain in gains.items()}, "not_judged": rest, "worse": sorted(worse)}
    return Rule("concepts", BROKEN if worse else MET, words, figures)


def _named(gains: dict[str, Gain]) -> str:
    return ", ".join(f"{name} {100 * gain.delta:+.1f}" for name, gain in gains.items())


def _both_sides(policy: Policy) -> float:
    """Two rules that each reject a good model once in 20 would reject one in 10."""
    return (1 + policy.confidence) / 2


def _times(fires_P: np.ndarray) -> str:
    return f"{int(fires_P.sum())} times" if fires_P.sum() != 1 else "once"


def _range(fires_P: np.ndarray, low: float, high: float) -> str:
    return f"{int(fires_P.sum())} of {len(fires_P)} ({100 * low:.1f} to {100 * high:.1f} %)"


def _once_in(level: float) -> str:
    return f"once in {math.floor(1 / level)} times"


def _until(more: int | None, kind: str) -> str:
    if more is None:
        return f" As it stands, no number of further {kind} would settle it."
    return f" Undecided: about {more} more {kind} would settle it, if they are as these."


def judge_speed(speed: Speed, allowed: float) -> Rule:
    """Too slow only where the whole interval lies above what is allowed: chance alone makes no model slow."""
    if speed.is_same:
        words = "The challenger is the same network as the champion with other weights: it takes as long."
        return Rule("speed", MET, words, {"allowed": allowed})
    told = {ENCODE: "Encoding", CLICK: "a click"}
    parts = [
        f"{told[name]} takes {one.value:.2f} times as long ({one.low:.2f} to {one.high:.2f}, in {one.rounds} turns)"
        for name, one in speed.ratios.items()
    ]
    is_slow = any(one.low > allowed for one in speed.ratios.values())
    words = f"{', '.join(parts)}; the policy allows {allowed:g}."
    return Rule("speed", BROKEN if is_slow else MET, words, {"allowed": allowed, **speed.plain()})
