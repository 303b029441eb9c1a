"""The first page: what was judged, the verdict, the figures that matter, and what to do next, in a few sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.reporting.advice import Advice
from training.reporting.figures import figure_rows, undefined

ON_TOP = ("cgf1", "pmf1", "il_mcc", "il_recall", "il_fpr")
DECISIONS = {
    "promote": "The gate passed it",
    "reject": "The gate did not pass it",
    "undecided": "The gate is undecided: the holdout is too small to say",
}


def summary_of(
    measures: Mapping[str, Any], found: Sequence[Advice], *, role: str, decision: Mapping[str, Any] | None
) -> dict[str, Any]:
    rows = [row for row in figure_rows(measures) if row["name"] in ON_TOP]
    return {
        "verdict": _verdict(measures, found, role, decision),
        "judged_on": _judged_on(measures),
        "figures": sorted(rows, key=lambda row: ON_TOP.index(row["name"])),
        "gain": _gain(decision) if role == "challenger" else "",
        "next": [one.plain() for one in found if one.level == "act"],
    }


def _verdict(
    measures: Mapping[str, Any], found: Sequence[Advice], role: str, decision: Mapping[str, Any] | None
) -> str:
    parts = []
    if decision and role == "challenger":
        parts.append(f"{DECISIONS.get(decision.get('decision', ''), 'The gate has not decided')}.")
    elif decision and role:
        names = {"champion": "the model that served", "baseline": "the model as shipped"}
        parts.append(f"This is {names[role]}, which the gate held a challenger against.")
    why = undefined("cgf1", measures)
    stops = [one.words for one in found if one.level == "stop"]
    if why:
        parts.append(f"CGF1 is {why}.")
    if parts or stops:
        return " ".join([*parts, *stops])
    acts = [one.words for one in found if one.level == "act"]
    return acts[0] if acts else "Nothing in its figures speaks against it."


def _judged_on(measures: Mapping[str, Any]) -> str:
    n = measures["n"]
    scenes = f" from {n['scenes']:,} scenes" if n.get("scenes") else ""
    return (
        f"{n.get('pairs', 0):,} pairs{scenes}: {n.get('positives', 0):,} with the thing "
        f"({n.get('instances', 0):,} objects), {n.get('negatives', 0):,} without. Intervals are 95 %."
    )


def _gain(decision: Mapping[str, Any] | None) -> str:
    """A gain with its interval, and what selection does to one that was chosen for it."""
    gain = (decision or {}).get("delta_cgf1")
    if decision is None or gain is None:
        return ""
    bootstrap = decision.get("bootstrap") or {}
    low, high = bootstrap.get("low"), bootstrap.get("high")
    between = "" if low is None or high is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    words = f"Against the model that served CGF1 changes by {100 * gain:+.1f} points{between}."
    if decision.get("decision") != "promote":
        return words
    return f"{words} It was promoted for that, so selection inflates it: expect less on pairs nobody has looked at."
