"""How long does CGF1 take? `.venv/bin/python -m bench.cgf1 [--pairs 1000] [--official FILE]`

Ours against pycocotools' COCOeval on the same predictions: the evaluator that a user would otherwise run (it answers
with average precision, a different figure, from the same masks). Also the gate's paired bootstrap, which needs no
re-matching. Prints a table and writes bench/results/cgf1.json.

--official names a copy of SAM 3's own evaluator (sam3/eval/cgf1_eval.py; it is no part of this project): both then read
the same two files, of ragged masks of which none is like another, in turn, and the figures must be equal.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import io
import json
import platform
import resource
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
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


def timed(
    work: Callable[[], Any], repeats: int = 3, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, Any]:
    best, answer = float("inf"), None
    for _ in range(repeats):
        began = clock()
        answer = work()
        best = min(best, clock() - began)
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


def ragged_world(pairs: int, a_pair: int = 40, seed: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Every pair full of torn masks, each drawn anew."""
    rng = np.random.default_rng(seed)
    images, annotations, predictions = [], [], []
    for pair in range(1, pairs + 1):
        size = {"width": SIDE_PX, "height": SIDE_PX}
        images.append({"id": pair, **size, "is_instance_exhaustive": 1, "file_name": str(pair)})
        for _ in range(a_pair):
            mask = blob(rng, ragged=True)
            moved = np.roll(mask, rng.integers(-8, 9, 2), axis=(0, 1))
            truth, found = masks.encode_mask(mask), masks.encode_mask(moved)
            box = masks.box_xywh(truth)
            row = {"image_id": pair, "category_id": 1, "bbox": box, "area": box[2] * box[3]}
            annotations.append({**row, "id": len(annotations) + 1, "iscrowd": 0, "segmentation": truth})
            predictions.append({**row, "segmentation": found, "score": float(rng.uniform(0.3, 1.0))})
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}, predictions


def against_official(evaluator: Path, pairs: int, folder: Path) -> dict[str, Any]:
    """CPU seconds of both, the least of three in turn, and the most by which a figure differs."""
    truth, predictions = (folder / name for name in ("truth.json", "predictions.json"))
    for path, content in zip((truth, predictions), ragged_world(pairs), strict=True):
        path.write_text(json.dumps(content))
    spec = importlib.util.spec_from_file_location("official", evaluator)
    assert spec is not None, f"{evaluator} is no Python file"
    assert spec.loader is not None
    official = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(official)

    def theirs() -> dict[str, float]:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return dict(official.CGF1Evaluator(gt_path=str(truth), iou_type="segm").evaluate(str(predictions)))

    ours_s = theirs_s = float("inf")
    for _ in range(3):
        ours_now, ours = timed(lambda: cgf1.evaluate(truth, predictions).metrics, 1, time.process_time)
        theirs_now, expected = timed(theirs, 1, time.process_time)
        ours_s, theirs_s = min(ours_s, ours_now), min(theirs_s, theirs_now)
    apart = max(abs(ours[key] - expected[key]) for key in expected)
    seconds = {"ours_cpu_s": round(ours_s, 4), "official_cpu_s": round(theirs_s, 4)}
    return {"pairs": pairs, "masks": 80 * pairs, **seconds, "ratio": round(theirs_s / ours_s, 2), "apart": apart}


def counting_mib(pairs: int) -> float:
    """What counting pairs of smooth masks allocates at most, beyond documents and predictions."""
    truth, predictions = made_world(pairs, ragged=False)
    tracemalloc.start()
    cgf1.count_pairs([truth], predictions)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 2**20, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--official", type=Path, help="a copy of sam3/eval/cgf1_eval.py")
    parser.add_argument("--official-pairs", type=int, default=200)
    asked = parser.parse_args()
    pairs = asked.pairs
    rows = [measure(pairs, ragged) for ragged in (False, True)]
    columns = ("outlines", "pairs", "masks", "ours_s", "coco_eval_s", "ratio", "bootstrap_1000_s")
    print(" ".join(f"{column:>16}" for column in columns))
    for row in rows:
        print(" ".join(f"{row[column]!s:>16}" for column in columns))
    answer = {
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rows": rows,
        "counting_mib": {count: counting_mib(count) for count in (pairs, 4 * pairs)},
    }
    if asked.official:
        with TemporaryDirectory() as folder:
            answer["ragged_against_official"] = against_official(asked.official, asked.official_pairs, Path(folder))
        print(answer["ragged_against_official"])
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "cgf1.json").write_text(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main()
