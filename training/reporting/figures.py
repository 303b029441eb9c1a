"""Figures with their interval in words that a person can rely on.

A share of a few is told as "2 of 3" and never as 66.7 %; what the pairs cannot say is «not judged» with the reason and
never 0. Fractions come in; points of 100 are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.rounding import floored

FEW = 30  # of fewer a percentage says more than is known
SHARES = ("il_fpr", "il_recall", "recall")
NEEDS = {
    "cgf1": ("positives", "negatives"),
    "il_mcc": ("positives", "negatives"),
    "il_fpr": ("negatives",),
    "il_recall": ("positives",),
    "pmf1": ("positives",),
}
LABELS = {
    "cgf1": ("CGF1", "pmF1 x IL_MCC: masks and verdicts together"),
    "pmf1": ("pmF1", "how good the masks are where the thing is there"),
    "il_mcc": ("IL_MCC", "whether it says rightly that the thing is there or not"),
    "il_fpr": ("False alarms", "negatives on which it fires; lower is better"),
    "il_recall": ("Recall", "positives on which it fires"),
    "ap": ("AP", "mean over IoU 0.50 to 0.95, masks"),
    "ap50": ("AP50", "at IoU 0.50"),
    "ap75": ("AP75", "at IoU 0.75"),
    "ar": ("AR", "recall of objects, mean over IoU 0.50 to 0.95"),
    "ap_small": ("AP, small", "objects below 32 x 32 px"),
    "ap_medium": ("AP, medium", "from there to 96 x 96 px"),
    "ap_large": ("AP, large", "above that"),
    "ar_small": ("AR, small", "objects below 32 x 32 px"),
    "ar_medium": ("AR, medium", "from there to 96 x 96 px"),
    "ar_large": ("AR, large", "above that"),
    "ap_box": ("AP, boxes", "mean over IoU 0.50 to 0.95, boxes"),
    "ap50_box": ("AP50, boxes", "at IoU 0.50"),
    "recall": ("Objects found", "at score and IoU 0.5"),
}
AT_LABELS = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "f1": "F1",
}


def figure_rows(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a figure of measures.json, or of one of its groups, in the order that people read them."""
    known = part.get("figures") or {}
    return [figure_row(name, part) for name in LABELS if name in known]


def figure_row(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    figure = part["figures"].get(name) or {}
    why = undefined(name, part)
    label, words = LABELS[name]
    value, low, high = (None if why else figure.get(key) for key in ("value", "low", "high"))
    row = {"name": name, "label": label, "words": words, "value": value, "low": low, "high": high}
    n = int(figure.get("n") or 0)
    told = why or (told_share(value, low, high, n) if name in SHARES else told_points(value, low, high))
    without = "" if why or low is not None else (part.get("undefined") or {}).get(name) or ""
    return {**row, "n": n, "told": f"{told} (no interval: {without.rstrip('.')})" if without else told}


def undefined(name: str, part: Mapping[str, Any]) -> str:
    """Why these pairs do not say the figure; empty: they do. CGF1 without negatives is 0 for perfect masks, too."""
    counts = part.get("n") or {}
    lacking = [kind for kind in NEEDS.get(name, ()) if not counts.get(kind, 0)]
    if lacking:
        return f"not judged: no {' and no '.join(lacking)}"
    if (part["figures"].get(name) or {}).get("value") is not None:
        return ""
    sentence = ((part.get("undefined") or {}).get(name) or "").removeprefix("Not judged: ")
    return f"not judged: {sentence[:1].lower()}{sentence[1:].rstrip('.')}" if sentence else "not judged"


def at_rows(measures: Mapping[str, Any], key: str = "at") -> list[dict[str, Any]]:
    """Precision, recall, … of images (`at`) or objects (`objects_at`): a row a figure, a cell a threshold."""
    found = measures[key]
    names = [name for name in AT_LABELS if any(name in one for one in found.values())]
    return [
        {"label": AT_LABELS[name], "cells": [_at_cell(one.get(name) or {}, name) for one in found.values()]}
        for name in names
    ]


def _at_cell(figure: Mapping[str, Any], name: str) -> str:
    value, low, high = (figure.get(key) for key in ("value", "low", "high"))
    if value is None:
        return "not judged"
    if name == "f1":  # no share of anything that could be counted
        return told_points(value, low, high)
    return told_share(value, low, high, int(figure.get("n") or 0))


def told_points(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """0.431 -> 43.1 [40.0, 46.2]."""
    if value is None:
        return "not judged"
    return f"{100 * value:.1f}{_interval(low, high)}"


def told_share(value: float | None, low: float | None, high: float | None, n: int) -> str:
    """Of few, a count alone; of many, a percentage with its interval and of how many it is."""
    if value is None or n == 0:
        return "not judged"
    if n < FEW:
        return f"{round(value * n)} of {n}"
    return f"{100 * value:.1f} %{_interval(low, high)} of {n:,}"


def told_threshold(value: float) -> str:
    """Two places or three, never rounded up: from a score above the last positive that it counts on it finds fewer."""
    return f"{floored(value, 3):.3f}".removesuffix("0")


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]"


def group_tables(measures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By concept, source, size, and by who drew the mask: CGF1 and its parts, each told or not judged."""
    titles = {"concept": "Concept", "source": "Source", "size": "Size of the object"}
    tables = [
        {"title": title, "rows": _group_rows(measures["by"].get(key) or {})}
        for key, title in titles.items()
        if measures["by"].get(key)
    ]
    drawn = measures.get("drawn") or {}
    if drawn:
        words = {"people": "drawn or changed by people", "model_unedited": "taken from a model as they came"}
        rows = [{**row, "name": words.get(row["name"], row["name"])} for row in _group_rows(drawn)]
        tables.append({"title": "Masks of the truth", "rows": rows})
    return tables


def _group_rows(groups: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = ("cgf1", "pmf1", "il_mcc", "il_fpr", "ap", "ar", "recall")
    rows = []
    for group, part in groups.items():
        there = [name for name in names if name in (part.get("figures") or {})]
        figures = {name: figure_row(name, part) for name in there}
        rows.append({"name": group, "n": part.get("n") or {}, "figures": figures})
    return rows
