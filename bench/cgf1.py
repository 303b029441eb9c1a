"""How long does CGF1 take? `.venv/bin/python -m bench.cgf1 [--pairs 1000]`

Ours against pycocotools' COCOeval on the same predictions: the evaluator that a user would otherwise run (it answers
with average precision, a different figure, from the same masks). Also the gate's paired bootstrap, which needs no
re-matching. Prints a table and writes bench/results/cgf1.json.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from training import cgf1, masks
from training.config import Policy
from training.redrawing import Holdout, redrawn_gain

RESULTS = Path(__file__).resolve().parent / "results"
SIDE_PX = 500
MEAN_INSTANCES = 4.9


def blob(rng: np.random.Generator, ragged: bool) -> np.ndarray:
    """A smooth ellipse, or one whose outline is torn by noise."""
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    cx, cy = rng.uniform(60, SIDE_PX - 60, 2)
    rx, ry = rng.uniform(15, 60, 2)
    distance = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
    return distance < (1 + rng.normal(0, 0.25, distance.shape) if ragged else 1)


def made_world(pairs: int, ragged: bool, seed: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Half the pairs positive; predictions are the truth moved by some pixels. Masks repeat from a pool of 200."""
    rng = np.random.default_rng(seed)
    pool = [blob(rng, ragged) for _ in range(200)]
    truths = [masks.encode_mask(mask) for mask in pool]
    moved = [masks.encode_mask(np.roll(mask, rng.integers(-8, 9, 2), axis=(0, 1))) for mask in pool]
    images, annotations, predictions = [], [], []
    for pair in range(1, pairs + 1):
        size = {"width": SIDE_PX, "height": SIDE_PX}
        images.append({"id": pair, **size, "is_instance_exhaustive": 1, "file_name": str(pair)})
        for _ in range(rng.poisson(2 * MEAN_INSTANCES) if pair % 2 else 0):
            index = int(rng.integers(len(pool)))
            box = masks.box_xywh(truths[index])
            row = {"image_id": pair, "category_id": 1, "bbox": box, "area": box[2] * box[3]}
            truth = {"id": len(annotations) + 1, "iscrowd": 0, "segmentation": dict(truths[index])}
            annotations.append({**row, **truth})
            score = float(rng.uniform(0.3, 1.0))
            predictions.append({**row, "segmentation": dict(moved[index]), "score": score})
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}, predictions


def timed(work: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    best, answer = float("inf"), None
    for _ in range(repeats):
        began = time.perf_counter()
        answer = work()
        best = min(best, time.perf_counter() - began)
    return best, answer


def coco_eval(truth: dict[str, Any], predictions: list[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(truth)
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(copy.deepcopy(predictions)), "segm")
        judge.evaluate()
        judge.accumulate()
    return judge


def measure(pairs: int, ragged: bool) -> dict[str, Any]:
    truth, predictions = made_world(pairs, ragged)
    ours_s, result = timed(lambda: cgf1.evaluate(truth, predictions))
    theirs_s, _ = timed(lambda: coco_eval(truth, predictions), repeats=1)
    holdout = Holdout(result.pairs, result.pairs, np.arange(len(result.pairs)), ["object"] * len(result.pairs))
    policy = Policy(bootstrap=1000)
    bootstrap_s, _ = timed(lambda: redrawn_gain(result.pairs, result.pairs, holdout, policy, 0))
    return {
        "pairs": pairs,
        "masks": len(truth["annotations"]) + len(predictions),
        "outlines": "ragged" if ragged else "smooth",
        "ours_s": round(ours_s, 4),
        "coco_eval_s": round(theirs_s, 4),
        "ratio": round(theirs_s / ours_s, 2),
        "bootstrap_1000_s": round(bootstrap_s, 4),
        "cgf1": round(result.metrics["cgF1_eval_segm_cgF1"], 6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000)
    pairs = parser.parse_args().pairs
    rows = [measure(pairs, ragged) for ragged in (False, True)]
    columns = ("outlines", "pairs", "masks", "ours_s", "coco_eval_s", "ratio", "bootstrap_1000_s")
    print(" ".join(f"{column:>16}" for column in columns))
    for row in rows:
        print(" ".join(f"{row[column]!s:>16}" for column in columns))
    answer = {
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rows": rows,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "cgf1.json").write_text(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main()
