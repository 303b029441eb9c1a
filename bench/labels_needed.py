"""Labels needed: the queue's choice against random choice, no new labels (floor) and all labels (ceiling).

    .venv/bin/python -m bench.labels_needed --out /tmp/labels_needed [--seeds 5] [--budgets 40,120] [--steps 200]

Every arm trains the demo model with the same steps on 200 easy pairs plus what its oracle labelled, and is judged on
the same 300 holdout pairs. Resumable: each (seed, arm, budget) is one JSON file under --out. Prints a table and writes
bench/results/labels_needed.json and .svg.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from annotator.operations.loop.oracle import CLICK_SECONDS, Point, settle_object
from annotator.queue.acquisition import Candidate, Thresholds, choose
from bench.plot import line_plot
from training import masks
from training.demo.scenes import draw_scene

REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED = REPOSITORY / "mlbackend" / "weights" / "demo"
CONCEPT = "chicken"
POOL = {"easy": 120, "hard": 360}
BASE_EASY, VAL_EASY, HOLDOUT_EACH = 170, 30, 150
THRESHOLDS = {"presence_low": 0.4, "presence_high": 0.6, "stability_below": 0.5, "audit_share": 0.1, "rank_by": "doubt"}


@dataclass
class Picture:
    """One drawn scene: where it lies, what is on it, and (once labelled) what the oracle accepted."""

    sha256: str
    domain: str
    truth: list[np.ndarray]
    size_hw: tuple[int, int]


class World:
    """Everything one seed draws: a pool without labels, settled easy pairs to begin with, a holdout."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.next_scene = 5_000_000 + seed * 10_000
        self.pool = [self._draw(domain) for domain, count in POOL.items() for _ in range(count)]
        self.base = [self._draw("easy") for _ in range(BASE_EASY)]
        self.val = [self._draw("easy") for _ in range(VAL_EASY)]
        self.holdout = [self._draw(domain) for domain in ("easy", "hard") for _ in range(HOLDOUT_EACH)]

    def _draw(self, domain: str) -> Picture:
        scene = draw_scene(self.next_scene, domain)
        self.next_scene += 1
        buffer = io.BytesIO()
        Image.fromarray(scene.image_HWC).save(buffer, "PNG", compress_level=1)
        sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
        path = self.folder / "images" / sha256[:2] / sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
        truth = [mask for concept, mask in scene.instances if concept == CONCEPT]
        return Picture(sha256, domain, truth, scene.image_HWC.shape[:2])


class Eyes:
    """The shipped model as the queue and the desk see it: scores of the pool, and clicks."""

    def __init__(self, world: World) -> None:
        from mlbackend.model.loader import LoadOptions, load_predictor

        self.world = world
        self.predictor = load_predictor(SHIPPED, LoadOptions())

    def tokens(self, picture: Picture) -> Any:
        path = self.world.folder / "images" / picture.sha256[:2] / picture.sha256
        pixels = self.predictor.preprocess(np.asarray(Image.open(path).convert("RGB")))
        return self.predictor.encode(pixels[None], [picture.size_hw[::-1]])[0]

    def candidates(self) -> list[Candidate]:
        rows = []
        for index, picture in enumerate(self.world.pool):
            tokens = self.tokens(picture)
            found = self.predictor.detect(tokens, [CONCEPT], score_threshold=0.3)[0]
            stability = min((one.stability for one in found.instances), default=None)
            rows.append(Candidate(index, CONCEPT, found.presence, stability, self.predictor.feature(tokens)))
        return rows

    def label(self, picture: Picture) -> tuple[list[np.ndarray], float]:
        """What the oracle accepts on one picture and the seconds that a person would have spent."""
        if not picture.truth:
            return [], CLICK_SECONDS
        features = self.predictor.click_features(self.tokens(picture))
        drawn = [settle_object(truth, self._clicker(features, picture)) for truth in picture.truth]
        return [one.mask_HW for one in drawn], CLICK_SECONDS + sum(one.seconds for one in drawn)

    def _clicker(self, features: Any, picture: Picture) -> Any:
        from mlbackend.model.logits import logits_to_wire
        from mlbackend.model.masks import decode_wire_mask
        from mlbackend.model.predictor import Prompt
        from mlbackend.model.prompts import Point as WirePoint

        height, width = picture.size_hw
        earlier: list[Any] = [None]

        def click(points: Sequence[Point]) -> np.ndarray:
            prompts = tuple(WirePoint(point.x, point.y, point.label) for point in points)
            best = self.predictor.click([Prompt(features, prompts, None, earlier[0])])[0][0]
            earlier[0] = best.mask_logits_hw
            return decode_wire_mask(logits_to_wire(best.mask_logits_hw, height_px=height, width_px=width))

        return click


def document(rows: Sequence[tuple[Picture, list[np.ndarray], int]]) -> dict[str, Any]:
    """A SA-Co document of (picture, accepted masks, round)."""
    images, annotations = [], []
    for number, (picture, accepted, round_) in enumerate(rows, start=1):
        height, width = picture.size_hw
        images.append(
            {
                "id": number,
                "file_name": picture.sha256,
                "text_input": CONCEPT,
                "width": width,
                "height": height,
                "queried_category": "1",
                "is_instance_exhaustive": 1,
                "is_pixel_exhaustive": 1,
                "source": picture.domain,
                "truth": "annotated",
                "round": round_,
            }
        )
        for mask in accepted:
            rle = masks.encode_mask(mask)
            x, y, w, h = masks.box_xywh(rle)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": 0,
                    "segmentation": rle,
                    "bbox": [x / width, y / height, w / width, h / height],
                    "area": float(mask.mean()),
                    "source": "oracle",
                }
            )
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}


def freeze(world: World, labelled: list[tuple[Picture, list[np.ndarray]]], folder: Path) -> None:
    """A snapshot folder. One labelled pair in seven validates, as in the product."""
    fresh = [(picture, accepted, 1) for picture, accepted in labelled]
    val = [row for row in fresh if int(row[0].sha256, 16) % 7 == 0]
    train = [row for row in fresh if int(row[0].sha256, 16) % 7]
    splits = {
        "train": [(picture, picture.truth, 0) for picture in world.base] + train,
        "val": [(picture, picture.truth, 0) for picture in world.val] + val,
        "test": [],
        "holdout": [(picture, picture.truth, 0) for picture in world.holdout],
    }
    folder.mkdir(parents=True, exist_ok=True)
    texts = {name: json.dumps(document(rows)) for name, rows in splits.items()}
    for name, text in texts.items():
        (folder / f"{name}.json").write_text(text)
    content = hashlib.sha256("".join(texts.values()).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps({"content_hash": content}))


def trainer(verb: str, config: dict[str, Any], out: Path) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "training", verb, "--config", str(out / "config.json"), "--out", str(out)]
    subprocess.run(command, check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=(out / "log.txt").open("w"))
    return json.loads((out / "manifest.json").read_text())


def chosen(arm: str, budget: int, candidates: list[Candidate], seed: int) -> list[int]:
    if arm == "none":
        return []
    if arm == "all":
        return [one.pair_id for one in candidates]
    if arm == "random":
        return [int(i) for i in np.random.default_rng(seed).choice(len(candidates), budget, replace=False)]
    return [one.pair_id for one in choose(candidates, Thresholds(**THRESHOLDS, batch=budget), seed=seed)]


def run_seed(out: Path, seed: int, budgets: list[int], steps: int, threads: int) -> None:
    """All arms of one seed that are not there yet."""
    jobs = [
        ("none", 0),
        *[(arm, budget) for budget in budgets for arm in ("queue", "random")],
        ("all", sum(POOL.values())),
    ]
    missing = [job for job in jobs if not result_file(out, seed, *job).exists()]
    if not missing:
        return
    world = World(out / f"world{seed}", seed)
    eyes = Eyes(world)
    candidates = eyes.candidates()
    for arm, budget in missing:
        ids = chosen(arm, budget, candidates, seed)
        settled = [(world.pool[i], *eyes.label(world.pool[i])) for i in ids]
        row = judge(world, arm, budget, [(p, m) for p, m, _ in settled], steps, threads)
        row |= {
            "annotator_seconds": sum(s for *_, s in settled),
            "positives": sum(bool(m) for _, m, _ in settled),
            "hard": sum(p.domain == "hard" for p, *_ in settled),
        }
        result_file(out, seed, arm, budget).write_text(json.dumps(row))
        print(
            f"seed {seed} {arm:>6} {budget:>4}: CGF1 {100 * row['cgf1']:.1f} "
            f"(hard {100 * row['by_source']['hard']['cgf1']:.1f}) after {row['annotator_seconds']:.0f} s",
            flush=True,
        )


def judge(world: World, arm: str, budget: int, labelled: list, steps: int, threads: int) -> dict[str, Any]:
    run = world.folder / f"{arm}{budget}"
    freeze(world, labelled, run / "snapshot")
    shared = {
        "snapshot": str(run / "snapshot"),
        "images": str(world.folder / "images"),
        "seed": world.seed,
        "threads": threads,
        "features": str(world.folder / "features"),
    }
    trainer("train", shared | {"base_model": str(SHIPPED), "steps": steps}, run / "train")
    found = trainer("evaluate", shared | {"model": str(run / "train" / "model")}, run / "evaluate")
    return found["summary"] | {"seed": world.seed, "arm": arm, "budget": budget, "steps": steps}


def result_file(out: Path, seed: int, arm: str, budget: int) -> Path:
    return out / f"seed{seed}-{arm}{budget}.json"


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard error over seeds of each arm and budget; CGF1 in points."""
    table = []
    for arm, budget in sorted({(row["arm"], row["budget"]) for row in rows}, key=lambda key: (key[1], key[0])):
        mine = [row for row in rows if (row["arm"], row["budget"]) == (arm, budget)]
        points = np.array([[100 * row["cgf1"], 100 * row["by_source"]["hard"]["cgf1"]] for row in mine])
        error = points.std(0, ddof=1) / len(mine) ** 0.5 if len(mine) > 1 else np.zeros(2)
        table.append(
            {
                "arm": arm,
                "labels": budget,
                "seeds": len(mine),
                "annotator_seconds": round(float(np.mean([row["annotator_seconds"] for row in mine])), 1),
                "cgf1": round(float(points[:, 0].mean()), 2),
                "cgf1_error": round(float(error[0]), 2),
                "cgf1_hard": round(float(points[:, 1].mean()), 2),
                "cgf1_hard_error": round(float(error[1]), 2),
            }
        )
    return table


def report(out: Path) -> None:
    table = summary([json.loads(path.read_text()) for path in sorted(out.glob("seed*.json"))])
    print(f"{'arm':>7} {'labels':>6} {'seeds':>5} {'person s':>9} {'CGF1':>14} {'CGF1 hard':>14}")
    for row in table:
        print(
            f"{row['arm']:>7} {row['labels']:>6} {row['seeds']:>5} {row['annotator_seconds']:>9.0f} "
            f"{row['cgf1']:>7.1f} ± {row['cgf1_error']:>4.1f} {row['cgf1_hard']:>7.1f} ± {row['cgf1_hard_error']:>4.1f}"
        )
    results = REPOSITORY / "bench" / "results"
    results.mkdir(exist_ok=True)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True
    ).stdout.strip()
    (results / "labels_needed.json").write_text(
        json.dumps(
            {"hardware": f"{os.cpu_count()} CPU cores", "commit": commit, "concept": CONCEPT, "table": table}, indent=1
        )
        + "\n"
    )
    series = {
        arm: [
            (row["annotator_seconds"], row["cgf1"], row["cgf1_error"]) for row in table if row["arm"] in (arm, "none")
        ]
        for arm in ("queue", "random")
    }
    ceiling = next((row["cgf1"] for row in table if row["arm"] == "all"), None)
    svg = line_plot(series, x="simulated annotator seconds", y="CGF1 on the holdout", ceiling=ceiling)
    (results / "labels_needed.svg").write_text(svg)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budgets", default="40,120")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    for seed in range(asked.seeds):
        run_seed(asked.out, seed, [int(part) for part in asked.budgets.split(",")], asked.steps, asked.threads)
    report(asked.out)


if __name__ == "__main__":
    main()
