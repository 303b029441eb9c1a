"""Plots as plain data: the page draws them with Chart.js, print with matplotlib, and each has a table of its numbers.

{"name", "title", "words": how to read it, "kind": lines | bars | intervals | matrix, "x", "y": axis titles,
 "series": [{"name", "colour": 1..4, "x": [...], "y": [...], "low", "high"}],   lines; points where `marks`
 "labels": [...], "series": [{"name", "colour", "y": [...], "low", "high"}],    bars, intervals
 "matrices": [{"name", "tp", "fp", "fn", "tn"}],                                matrix
 "columns": [...], "rows": [[...]]}                                             the table
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from training.reporting.figures import figure_rows, told_points, told_share, told_threshold

Chart = dict[str, Any]
THRESHOLDS = ("0.5", "0.7", "0.9")
BARS_OF_FIGURES = ("cgf1", "pmf1", "il_mcc", "il_recall", "ap", "ap50", "ap75", "ar")
MOST_GROUPS = 24


def of_measures(measures: Mapping[str, Any]) -> list[Chart]:
    made = [
        figure_bars(measures),
        confusion(measures),
        scores(measures),
        precision_recall(measures),
        by_threshold(measures),
        presence(measures) if measures["presence"] else None,
        calibration(measures) if measures["calibration"] else None,
        concepts(measures),
    ]
    return [chart for chart in made if chart]


def figure_bars(measures: Mapping[str, Any]) -> Chart:
    rows = [row for row in figure_rows(measures) if row["name"] in BARS_OF_FIGURES]
    return {
        "name": "metrics",
        "title": "Figures",
        "words": "Bars end at the figure, whiskers span its 95 % interval; what the pairs do not say has no bar.",
        "kind": "intervals",
        "x": "",
        "y": "points of 100",
        "labels": [row["label"] for row in rows],
        "series": [{"name": "this model", "colour": 1, **_hundredfold(rows)}],
        "columns": ["Figure", "Points [95 %]", "Of"],
        "rows": [[row["label"], row["told"], row["n"]] for row in rows],
    }


def confusion(measures: Mapping[str, Any]) -> Chart:
    found = [(key, measures["at"][key]["confusion"]) for key in THRESHOLDS if key in measures["at"]]
    return {
        "name": "confusion",
        "title": "Confusion of images",
        "words": "Pairs with the thing and without, by whether the model fires from that score on.",
        "kind": "matrix",
        "x": "model",
        "y": "truth",
        "matrices": [
            {"name": f"from {key}", **{cell: one[cell] for cell in ("tp", "fn", "fp", "tn")}} for key, one in found
        ],
        "columns": ["Score from", "Found", "Missed", "False alarms", "Rightly nothing"],
        "rows": [[key, one["tp"], one["fn"], one["fp"], one["tn"]] for key, one in found],
    }


def scores(measures: Mapping[str, Any]) -> Chart:
    told = measures["scores"]
    names = (("true_positives", "true positives", 1), ("false_positives", "false positives", 2))
    words = "Scores of drawn objects that hit one of the truth (IoU 0.5), and of those that hit none."
    return _histogram("scores", "Scores of objects", words, "score", "objects", told, names)


def presence(measures: Mapping[str, Any]) -> Chart:
    told = measures["presence"]
    names = (("positives", "with the thing", 1), ("negatives", "without it", 2))
    words = "How sure the model is that the thing is in the image at all, by whether it is."
    return _histogram("presence", "Presence by truth", words, "presence score", "pairs", told, names)


def _histogram(
    name: str,
    title: str,
    words: str,
    x: str,
    y: str,
    told: Mapping[str, Any],
    names: Sequence[tuple[str, str, int]],
) -> Chart:
    edges = told["edges"]
    labels = [f"{low:.2f}–{high:.2f}" for low, high in pairwise(edges)]
    series = [{"name": words_of, "colour": colour, "y": told[key]} for key, words_of, colour in names]
    return {
        "name": name,
        "title": title,
        "words": words,
        "kind": "bars",
        "x": x,
        "y": y,
        "labels": labels,
        "series": series,
        "columns": [x.capitalize(), *(one["name"].capitalize() for one in series)],
        "rows": [[label, *counts] for label, *counts in zip(labels, *(one["y"] for one in series), strict=True)],
    }


def precision_recall(measures: Mapping[str, Any]) -> Chart:
    both = ("precision", "recall")  # no precision where nothing is drawn, no recall where nothing is to be found
    points = [row for row in measures["precision_recall"] if all(row.get(key) is not None for key in both)]
    return {
        "name": "precision_recall",
        "title": "Precision and recall of objects",
        "words": "Each point is a threshold: how many of the objects are found, how many of what is drawn is right.",
        "kind": "lines",
        "x": "recall, %",
        "y": "precision, %",
        "marks": True,
        "x_span": [0, 100],
        "y_span": [0, 100],
        "series": [
            {
                "name": "this model",
                "colour": 1,
                "x": [100 * row["recall"] for row in points],
                "y": [100 * row["precision"] for row in points],
            }
        ],
        "columns": ["Score from", "Precision", "Recall [95 %]", "F1"],
        "rows": [
            [
                f"{row['threshold']:.2f}",
                told_points(row.get("precision")),
                told_points(row.get("recall"), row.get("low"), row.get("high")),
                told_points(row.get("f1")),
            ]
            for row in measures["precision_recall"]
        ],
    }


def by_threshold(measures: Mapping[str, Any]) -> Chart:
    points = measures["precision_recall"]
    names = (("precision", "precision", 1), ("recall", "recall", 2), ("f1", "F1", 4))
    series = [
        {
            "name": words,
            "colour": colour,
            "x": [row["threshold"] for row in points if row.get(key) is not None],
            "y": [100 * row[key] for row in points if row.get(key) is not None],
        }
        for key, words, colour in names
    ]
    operating = measures["operating"]
    return {
        "name": "threshold",
        "title": "What a threshold costs",
        "words": "Objects from that score on; the table names the threshold for a wanted recall of images.",
        "kind": "lines",
        "x": "score from",
        "y": "%",
        "y_span": [0, 100],
        "series": series,
        "columns": ["Recall wanted", "Score from [95 %]", "False alarms"],
        "rows": [_operating_cells(row, measures["n"].get("positives") or 0) for row in operating],
    }


def _operating_cells(row: Mapping[str, Any], positives: int) -> list[str]:
    if row.get("threshold") is None:
        return [f"{100 * row['recall']:g} %", "out of reach" if positives else "not judged", "–"]
    alarms, low, high = row.get("false_alarms") or {}, row.get("low"), row.get("high")
    between = "" if low is None or high is None else f" [{told_threshold(low)}, {told_threshold(high)}]"
    told = told_share(alarms.get("value"), alarms.get("low"), alarms.get("high"), int(alarms.get("n") or 0))
    return [f"{100 * row['recall']:g} %", f"{told_threshold(row['threshold'])}{between}", told]


def calibration(measures: Mapping[str, Any]) -> Chart:
    bins = [row for row in measures["calibration"]["bins"] if row["n"]]
    error, low, high = (measures["calibration"].get(key) for key in ("ece", "ece_low", "ece_high"))
    told = "" if error is None else f" On average it is off by {told_points(error, low, high)} points (ECE)."
    return {
        "name": "calibration",
        "title": "Calibration of presence",
        "words": "Of pairs that get such a presence score, how many hold the thing; on the dashed line it means what "
        f"it says.{told}",
        "kind": "lines",
        "x": "presence score, %",
        "y": "pairs with the thing, %",
        "marks": True,
        "x_span": [0, 100],
        "y_span": [0, 100],
        "diagonal": True,
        "series": [
            {
                "name": "this model",
                "colour": 1,
                "x": [100 * row["mean_presence"] for row in bins],
                "y": [100 * row["share"] for row in bins],
                "low": [_times(row.get("share_low")) for row in bins],
                "high": [_times(row.get("share_high")) for row in bins],
            }
        ],
        "columns": ["Presence", "With the thing"],
        "rows": [
            [
                f"{row['low']:.2f}–{row['high']:.2f}",
                told_share(row["share"], row.get("share_low"), row.get("share_high"), row["n"]),
            ]
            for row in bins
        ],
    }


def concepts(measures: Mapping[str, Any]) -> Chart | None:
    """Of many concepts the largest; one without negatives has no bar, for its CGF1 would be 0 whatever it finds."""
    groups = measures["by"].get("concept") or {}
    largest = sorted(groups, key=lambda name: -((groups[name].get("n") or {}).get("pairs") or 0))[:MOST_GROUPS]
    rows = [(name, row) for name in sorted(largest) for row in figure_rows(groups[name]) if row["name"] == "cgf1"]
    if not rows:
        return None
    more = f" The {MOST_GROUPS} with the most pairs of {len(groups)}." if len(groups) > MOST_GROUPS else ""
    return {
        "name": "concepts",
        "title": "CGF1 by concept",
        "words": f"A concept without positives or without negatives is not judged and has no bar.{more}",
        "kind": "intervals",
        "x": "",
        "y": "points of 100",
        "labels": [name for name, _ in rows],
        "series": [{"name": "CGF1", "colour": 1, **_hundredfold([row for _, row in rows])}],
        "columns": ["Concept", "CGF1 [95 %]", "Pairs"],
        "rows": [[name, row["told"], (groups[name].get("n") or {}).get("pairs")] for name, row in rows],
    }


def _hundredfold(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    return {to: [_times(row[key]) for row in rows] for to, key in (("y", "value"), ("low", "low"), ("high", "high"))}


def _times(value: float | None) -> float | None:
    return None if value is None else 100 * value
