"""What a model's figures must reach before it is deployed: presets, and the sentence that an evaluation ends in.

A demand is met where the figure's interval lies wholly at or above what is asked, missed where it lies wholly below,
and open in between, with how many more pairs would settle it if the rest is as what is here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

PRESETS_VERSION = 1
PILOT, PRODUCTION = "pilot", "production"
MET, MISSED, OPEN, UNKNOWN = "met", "missed", "open", "unknown"
SCORE = "0.5"  # the instance score that a model is deployed with
FEWEST_PAIRS = 30  # of either kind: fewer say nothing of what comes next, however good they look
FEWEST_MORE = 10  # a count of one or two more would promise too much
NEAREST = 0.005  # nobody labels to tell 0.801 from 0.800


@dataclass(frozen=True)
class Preset:
    """Least figures, fractions: AP over IoU 0.5 to 0.95, and precision and recall of objects at IoU 0.5, score 0.5."""

    words: str
    ap: float
    precision: float
    recall: float

    def plain(self, name: str) -> dict[str, Any]:
        """As it is kept with what it judged."""
        asked = {key: value for key, value in asdict(self).items() if key != "words"}
        return {"name": name, "version": PRESETS_VERSION, **asked}


PRESETS = {
    PILOT: Preset("a pilot, people look at every answer", 0.6, 0.7, 0.8),
    PRODUCTION: Preset("production", 0.75, 0.85, 0.9),
}
PURPOSES = {PILOT: "a pilot", PRODUCTION: "production"}
# Of each demand: its name for people, and which pairs more of would narrow its interval.
DEMANDS = {"ap": ("mAP", "positives"), "precision": ("precision", "pairs"), "recall": ("recall", "positives")}
KINDS = {
    "positives": "pairs with the thing",
    "negatives": "pairs without the thing",
    "pairs": "pairs, with and without the thing",
}
OF_VAL = "Judge it on the holdout: val can't tell, since it chose which step of the training to keep."


@dataclass(frozen=True)
class Demand:
    """`more_pairs` of `kind` would settle an open one."""

    name: str
    asked: float
    state: str
    value: float | None
    n: int
    low: float | None
    high: float | None
    words: str
    more_pairs: int = 0
    kind: str = ""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Readiness:
    """`verdict`: deploy, label or check."""

    verdict: str
    sentence: str
    demands: tuple[Demand, ...]

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "demands": [demand.plain() for demand in self.demands]}


def readiness(measures: Mapping[str, Any], asked: Mapping[str, Any], *, split: str = "holdout") -> Readiness:
    """`measures` as in measures.json (docs/contracts.md), `asked` as Preset.plain() has it; `split`: the judged."""
    demands = tuple(_demand(measures, name, float(asked[name])) for name in DEMANDS)
    verdict, sentence = _verdict(measures["n"], demands, PURPOSES.get(asked["name"], asked["name"]))
    if split == "val" and verdict == "deploy":
        verdict, sentence = "label", OF_VAL
    return Readiness(verdict, sentence, demands)


def _demand(measures: Mapping[str, Any], name: str, asked: float) -> Demand:
    label, kind = DEMANDS[name]
    found = _figure(measures, name)
    value, low, high, n = found.get("value"), found.get("low"), found.get("high"), int(found.get("n") or 0)
    if value is None or low is None or high is None:
        why = (measures.get("undefined") or {}).get(name) or "It can't be said from these pairs."
        return Demand(label, asked, UNKNOWN, value, n, low, high, f"{label} is not known. {why}")
    told = f"{label} is {100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]; asked is {100 * asked:g}"
    if low >= asked:
        return Demand(label, asked, MET, value, n, low, high, f"{told}: reached.")
    if high < asked:
        return Demand(label, asked, MISSED, value, n, low, high, f"{told}: not reached.")
    more = _more_pairs(measures["n"], kind, value, (low, high), asked)
    words = f"{told}: open, about {more:,} more {KINDS[kind]} would tell."
    return Demand(label, asked, OPEN, value, n, low, high, words, more, kind)


def _figure(measures: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = measures["figures"] if name == "ap" else (measures.get("objects_at") or {}).get(SCORE) or {}
    return table.get(name) or {}


def _more_pairs(n: Mapping[str, int], kind: str, value: float, interval: tuple[float, float], asked: float) -> int:
    """An interval narrows with the root of the pairs: until its end towards what is asked has come past it."""
    apart = max(abs(value - asked), NEAREST)
    reach = value - interval[0] if value >= asked else interval[1] - value
    return max(FEWEST_MORE, math.ceil(round(n[kind] * ((reach / apart) ** 2 - 1), 6)))


def _verdict(n: Mapping[str, int], demands: tuple[Demand, ...], purpose: str) -> tuple[str, str]:
    missed = [demand for demand in demands if demand.state == MISSED]
    lacking = {kind: FEWEST_PAIRS - n[kind] for kind in ("positives", "negatives") if n[kind] < FEWEST_PAIRS}
    if lacking:
        told = " and ".join(f"{count} more {KINDS[kind]}" for kind, count in lacking.items())
        return "label", f"Label {told}: with fewer than {FEWEST_PAIRS} of each nothing can be said."
    if missed:
        told = ", ".join(f"{demand.name} is below {100 * demand.asked:g}" for demand in missed)
        return (
            "check",
            f"Check the training: {told} for certain, so that no label to judge by makes it fit for {purpose}.",
        )
    if unsettled := [demand for demand in demands if demand.state != MET]:
        return "label", _label(unsettled, purpose)
    return "deploy", f"Deploy: all that {purpose} asks for is reached for certain."


def _label(unsettled: list[Demand], purpose: str) -> str:
    unknown = [demand.name for demand in unsettled if demand.state == UNKNOWN]
    if unknown:
        return f"Label more: {', '.join(unknown)} can't be told from these pairs, which {purpose} asks for."
    most: dict[str, int] = {}
    for demand in unsettled:
        most[demand.kind] = max(demand.more_pairs, most.get(demand.kind, 0))
    told = " and ".join(f"about {count:,} more {KINDS[kind]}" for kind, count in most.items())
    names = " and ".join(demand.name for demand in unsettled)
    return f"Label {told}: that would settle {names} for {purpose}."
