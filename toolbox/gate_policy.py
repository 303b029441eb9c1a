"""When a challenger may serve: what the gate asks, with the range of each figure. docs/training.md, "The gate"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from types import NoneType
from typing import get_args, get_type_hints

MARGIN, NONE_MORE = "margin", "none_more"
ALARM_RULES = (MARGIN, NONE_MORE)
RANGES: dict[str, tuple[float, float]] = {
    "min_gain_points": (0, 100),
    "level": (0.0001, 0.5),
    "bootstrap": (100, 100_000),
    "confidence": (0.51, 0.999),
    "alarm_margin": (0, 1),
    "alarm_cap": (0, 1),
    "recall_margin": (0, 1),
    "recall_floor": (0, 1),
    "concept_points": (0, 100),
    "min_scenes": (1, 100_000),
    "speed_ratio": (1, 100),
}
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "null"}


@dataclass
class Policy:
    """Points are of CGF1 (a fraction x 100), margins, caps and floors fractions."""

    min_gain_points: float = 1.0
    level: float = 0.05  # the chance of promoting one that is no better, over all decisions on one holdout
    bootstrap: int = 1000
    confidence: float = 0.95
    alarms: str = MARGIN  # or none_more: no more false alarms than before, whatever chance may do
    alarm_margin: float = 0.02  # a rise of the false-positive rate that is as good as none
    alarm_cap: float | None = None  # the challenger's own rate, at most
    recall_margin: float = 0.05  # a rise of the positives missed wholly that is as good as none
    recall_floor: float | None = None  # the share of positives with a find, at least
    above_baseline: bool = False  # IL_MCC above the model as shipped, for certain
    concept_points: float = 2.0  # what a concept may lose that is as good as nothing
    min_scenes: int = 10  # with positives, and as many with negatives
    speed_ratio: float | None = 1.05  # the challenger's time over the champion's, for encoding and for a click

    def refusal(self) -> str:
        """What is wrong with it in a sentence that names the key; empty: nothing."""
        if self.alarms not in ALARM_RULES:
            return f"The policy's alarms is one of {', '.join(ALARM_RULES)}, not '{self.alarms}'."
        for name, hint in get_type_hints(Policy).items():
            value, kinds = getattr(self, name), get_args(hint) or (hint,)
            if type(value) not in kinds and not (type(value) is int and float in kinds):
                return f"The policy's {name} must be {' or '.join(KINDS[kind] for kind in kinds)}, not {value!r}."
            low, high = RANGES.get(name, (-math.inf, math.inf))
            if isinstance(value, (int, float)) and not low <= value <= high:
                return f"The policy's {name} must lie between {low:g} and {high:g}, not {value:g}."
        return ""


def fewest_pairs(margin: float, confidence: float) -> int:
    """With fewer pairs not even two models that never differ are certain to be within the margin: z² (1 - m) / m.

    Source: Tango's score bound without a discordant pair (training/intervals.py).
    """
    if margin <= 0:
        return 0
    return math.ceil(NormalDist().inv_cdf(confidence) ** 2 * (1 - margin) / margin)


def told(value: object) -> str:
    """A policy's value for people: none for null, yes and no."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
