"""Do more labels give more? The demo model retrained on 40, 120 and 480 labels of drawn scenes, by a retrain's defaults
and as they were before steps and the way back followed the data.

    .venv/bin/python -m bench.label_growth --folder DIR [--seeds 0 1] [--labels 40 120 480] [--only-report] [--write]

Each seed is a world of its own: some 170 pairs of easy scenes that the model knows, labels of which three in four are
hard scenes (each number holds those of the smaller one, one scene in seven is for `val`), and a holdout of easy and
hard scenes that no run reads. A run is a folder under --folder: what is finished there is not done again. Prints a
table; --write keeps bench/results/label_growth.json and puts the table into docs/training.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from statistics import mean
from typing import Any

from bench.few_labels import DEMO, REPOSITORY, trainer
from bench.few_labels_report import put_table
from tests.train.snapshots import Snapshot

ARMS: dict[str, list[str]] = {"before": ["steps=150", "choose_start_share=false"], "now": []}
RESULT = REPOSITORY / "bench" / "results" / "label_growth.json"
FIRST_SCENE, SCENES_A_WORLD = 7_000_000, 10_000
FIGURES = ("cgf1", "easy", "hard")


def world(folder: Path, seed: int, labels: int) -> list[str]:
    """A snapshot with so many new labels, as arguments of the trainer."""
    home = folder / f"world{seed}" / str(labels)
    made = Snapshot(home, seed=FIRST_SCENE + SCENES_A_WORLD * seed)
    if not (made.folder / "manifest.json").exists():
        made.add_scenes("train", "easy", 70, negatives=1).add_scenes("val", "easy", 12, negatives=1)
        made.add_scenes("holdout", "easy", 60).add_scenes("holdout", "hard", 60)
        known = _settled(made)
        number = 0
        while _settled(made) < known + labels:
            split, domain = "train" if number % 7 else "val", "hard" if number % 4 else "easy"
            made.add_scenes(split, domain, 1, round=1, negatives=1)
            number += 1
        made.freeze()
    return [f"snapshot={made.folder}", f"images={made.images}", f"features={folder / f'world{seed}' / 'features'}"]


def _settled(made: Snapshot) -> int:
    return sum(len(made.document(split)["images"]) for split in ("train", "val"))


def run(folder: Path, seed: int, labels: int, arm: str) -> dict[str, Any]:
    """One row: figures on the holdout, steps, and the share of the base that was kept."""
    home = home_of(folder, seed, labels, arm)
    if (home / "result.json").exists():
        return json.loads((home / "result.json").read_text())
    shared = world(folder, seed, labels)
    row: dict[str, Any] = {"seed": seed, "labels": labels, "arm": arm}
    model = DEMO
    if arm != "base":
        made = trainer("train", home / "train", [*shared, f"base_model={DEMO}", f"seed={seed}", *ARMS[arm]])
        kept = made["metrics"]["val"]
        row |= {"steps": made["steps"], "kept_step": kept["step"], "start_share": kept["start_share"]}
        row |= {"train_pairs": made["pairs"]["train"], "train_seconds": made["seconds"]}
        model = home / "train" / "model"
    found = trainer("evaluate", home / "holdout", [*shared, f"model={model}", "split=holdout"])["summary"]
    row |= {"cgf1": found["cgf1"]} | {source: one["cgf1"] for source, one in found["by_source"].items()}
    shutil.rmtree(home / "train" / "checkpoints", ignore_errors=True)
    (home / "result.json").write_text(json.dumps(row) + "\n")
    print(row, flush=True)
    return row


def home_of(folder: Path, seed: int, labels: int, arm: str) -> Path:
    return folder / f"world{seed}-{labels}-{arm}"


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Means over the seeds; behind them each seed's CGF1."""
    lines = ["| labels | retrain | steps | start share kept | CGF1 (each seed) | easy | hard |", "| --- " * 7 + "|"]
    for labels, arm in dict.fromkeys((row["labels"], row["arm"]) for row in rows):
        alike = [row for row in rows if (row["labels"], row["arm"]) == (labels, arm)]
        each = ", ".join(f"{100 * row['cgf1']:.1f}" for row in alike)
        means = [f"{100 * mean(row[figure] for row in alike):.1f}" for figure in FIGURES]
        steps, shares = (", ".join(str(row[key]) for row in alike if key in row) for key in ("steps", "start_share"))
        lines.append(f"| {labels or ''} | {arm} | {steps} | {shares} | {means[0]} ({each}) | {means[1]} | {means[2]} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the runs; what is finished there is kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--labels", type=int, nargs="+", default=[40, 120, 480])
    parser.add_argument("--only-report", action="store_true", help="run nothing: tell what is finished")
    parser.add_argument("--write", action="store_true", help="keep the figures and the docs table")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    wanted = [(seed, 0, "base") for seed in asked.seeds]
    wanted += [(seed, labels, arm) for seed in asked.seeds for labels in asked.labels for arm in ARMS]
    if asked.only_report:
        wanted = [one for one in wanted if (home_of(folder, *one) / "result.json").exists()]
    rows = [run(folder, *one) for one in wanted]
    rows.sort(key=lambda row: (row["labels"], row["arm"], row["seed"]))
    print("\n".join(table(rows)))
    if asked.write:
        RESULT.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        put_table(REPOSITORY / "docs" / "training.md", "label_growth", table(rows))


if __name__ == "__main__":
    main()
