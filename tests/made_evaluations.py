"""An evaluation's folder as `evaluate` and `gate` leave it (docs/contracts.md), made up: a worked case of 21 pairs.

6 positives, 15 negatives; from a score of 0.9 on TP 6, FP 5, FN 0, TN 10. All numbers here are written down, none is
computed by the code under test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.train.snapshots import Snapshot
from training import masks

WIDTH_PX, HEIGHT_PX = 60, 40
POSITIVES, NEGATIVES, FIRED = 6, 15, 5
SQUARE = (slice(10, 26), slice(8, 24))
BESIDE = (slice(10, 26), slice(30, 46))
FIRE_SCORES = (0.95, 0.99, 0.91, 0.97, 0.93)


def figure(value: float | None, n: int, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "n": n, "low": low, "high": high}


def made_measures() -> dict[str, Any]:
    """Every key of the contract. Intervals are round numbers: nobody here computes them."""
    n = {"pairs": 21, "positives": 6, "negatives": 15, "instances": 6, "scenes": 21}
    at = {
        "confusion": {"tp": 6, "fp": 5, "fn": 0, "tn": 10},
        "accuracy": figure(16 / 21, 21, 0.55, 0.89),
        "precision": figure(6 / 11, 11, 0.28, 0.79),
        "recall": figure(1.0, 6, 0.61, 1.0),
        "specificity": figure(10 / 15, 15, 0.42, 0.85),
        "f1": figure(12 / 17, 21, 0.45, 0.9),
    }
    objects = {name: at[name] for name in ("precision", "recall", "f1")} | {"confusion": {"tp": 6, "fp": 5, "fn": 0}}
    figures = {
        "cgf1": figure(0.45, 21, 0.3, 0.6),
        "pmf1": figure(0.75, 6, 0.6, 0.85),
        "il_mcc": figure(0.6, 21, 0.35, 0.8),
        "il_fpr": figure(5 / 15, 15, 0.15, 0.58),
        "il_recall": figure(1.0, 6, 0.61, 1.0),
        "ap": figure(0.62, 6, 0.4, 0.8),
        "ap50": figure(0.8, 6, 0.6, 0.95),
    }
    without_negatives = {
        "n": {"pairs": 3, "positives": 3, "negatives": 0, "instances": 3, "scenes": 3},
        "figures": {"cgf1": figure(0.0, 3), "pmf1": figure(1.0, 3, 0.5, 1.0)},
    }
    whole = {"n": n, "figures": {name: figures[name] for name in ("cgf1", "pmf1", "il_mcc", "il_fpr")}}
    return {
        "n": n,
        "figures": figures,
        "at": {"0.5": at, "0.7": at, "0.9": at},
        "objects_at": {"0.5": objects, "0.7": objects, "0.9": objects},
        "scores": {"edges": [0.0, 0.5, 1.0], "true_positives": [0, 6], "false_positives": [0, 5]},
        "precision_recall": [
            {"threshold": 0.1, "precision": 0.5, "recall": 1.0, "f1": 0.667, "low": 0.61, "high": 1.0},
            {"threshold": 0.9, "precision": 0.545, "recall": 1.0, "f1": 0.706, "low": 0.61, "high": 1.0},
        ],
        "presence": {"edges": [0.0, 0.5, 1.0], "positives": [0, 6], "negatives": [10, 5]},
        "calibration": {
            "bins": [
                {
                    "low": 0.0,
                    "high": 0.5,
                    "n": 10,
                    "mean_presence": 0.2,
                    "share": 0.0,
                    "share_low": 0.0,
                    "share_high": 0.28,
                },
                {
                    "low": 0.5,
                    "high": 1.0,
                    "n": 11,
                    "mean_presence": 0.95,
                    "share": 6 / 11,
                    "share_low": 0.28,
                    "share_high": 0.79,
                },
            ],
            "ece": 0.307,
        },
        "operating": [
            {
                "recall": 0.9,
                "threshold": 0.93,
                "low": 0.9,
                "high": 0.97,
                "false_alarms": figure(4 / 15, 15, 0.11, 0.52),
            },
            {"recall": 0.99, "threshold": None, "low": None, "high": None, "false_alarms": figure(None, 15)},
        ],
        "by": {
            "concept": {"chicken": whole, "<b>pail</b>": without_negatives},
            "source": {"camera 1": whole},
            "size": {"small": without_negatives},
        },
        "drawn": {"people": whole, "model_unedited": without_negatives},
    }


def made_snapshot(root: Path) -> Snapshot:
    """The holdout of 21 pairs, and two pairs to train by."""
    snapshot = Snapshot(root)
    rng = np.random.default_rng(7)
    for number in range(POSITIVES + NEGATIVES + 2):
        picture = rng.integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8)
        truth = [square()] if number < POSITIVES or number == POSITIVES + NEGATIVES else []
        split = "holdout" if number < POSITIVES + NEGATIVES else "train"
        snapshot.add(split, picture, {"chicken": truth}, source="camera 1")
    return snapshot.freeze()


def square(place: tuple[slice, slice] = SQUARE) -> np.ndarray:
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), dtype=bool)
    mask[place] = True
    return mask


def made_evaluation(folder: Path, snapshot: Snapshot, measures: dict[str, Any] | None = None) -> Path:
    """The first positive is found beside where it is, the others exactly; five negatives fire."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, results = [], []
    for number, image in enumerate(snapshot.documents["holdout"]["images"]):
        is_positive = number < POSITIVES
        fires = is_positive or number < POSITIVES + FIRED
        hits = 0 if number == 0 or not is_positive else 1
        score = 0.98 if is_positive else FIRE_SCORES[number - POSITIVES] if fires else 0.0
        rows.append(
            {
                "id": image["id"],
                "image": image["file_name"],
                "scene": image["file_name"],
                "text_input": image["text_input"],
                "source": "camera 1",
                "presence": 0.95 if fires else 0.2,
                "instances": int(is_positive),
                "predicted": int(fires),
                "true_positives": [hits] * 10,
            }
        )
        if fires:
            drawn = masks.encode_mask(square(BESIDE if number == 0 else SQUARE))
            results.append({"image_id": image["id"], "category_id": 1, "score": score, "segmentation": drawn})
    content = {"rows": rows, "predictions": results, "measures": measures or made_measures()}
    for name, what in content.items():
        (folder / f"{name}.json").write_text(json.dumps(what))
    return folder


def made_run(folder: Path) -> Path:
    """Steps 5 and 10; the run broke off after 10 and went on from its checkpoint at 5, so 10 is told twice."""
    folder.mkdir(parents=True, exist_ok=True)
    told = [
        {"event": "loss", "step": 5, "total": 6.0, "mask": 2.0, "presence": 1.0},
        {"event": "loss", "step": 10, "total": 9.0, "mask": 3.0, "presence": 2.0},
        {"event": "loss", "step": 10, "total": 4.0, "mask": 1.5, "presence": 0.5},
        {"event": "validation", "step": 10, "cgf1": 0.41, "pmf1": 0.7, "il_mcc": 0.58},
    ]
    lines = "".join(json.dumps({"at": "2026-01-01T00:00:00Z", **one}) + "\n" for one in told)
    (folder / "events.jsonl").write_text(lines + '{"event": "lo')  # killed while it wrote
    (folder / "config.yaml").write_text("seed: 3\nlearning_rate: 0.0003\nsnapshot: /secret/place\n")
    return folder


def made_gate(folder: Path, decision: str = "promote") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "decision": decision,
        "reasons": ["CGF1 rises by 4.00 points."],
        "rules": [{"name": "gain", "state": "met", "words": "CGF1 rises by 4.00 points."}],
        "delta_cgf1": 0.04,
        "bootstrap": {"low": 0.023, "high": 0.059, "rounds": 1000, "confidence": 0.95},
        "policy": {"recall_floor": 0.9},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
