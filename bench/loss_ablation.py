"""What do `one_to_many` and `semantic` change? The demo model retrained on drawn scenes with neither, each and both.

    .venv/bin/python -m bench.loss_ablation --folder DIR [--seeds 0 1 2] [--only-report] [--write]

190 train pairs (easy and hard scenes, the hard ones newer), 150 steps, a holdout of 272 pairs that no run has read. A
run is a folder under --folder: what is finished there is not done again. Prints a table of every run; --write keeps
bench/results/loss_ablation.json and puts the table into docs/training.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from bench.few_labels import DEMO, REPOSITORY, trainer
from bench.few_labels_report import put_table
from tests.train.snapshots import Snapshot

VARIANTS: dict[str, list[str]] = {
    "neither": [],
    "`one_to_many`": ["one_to_many=true"],
    "`semantic`": ["semantic=true"],
    "both": ["one_to_many=true", "semantic=true"],
}
RESULT = REPOSITORY / "bench" / "results" / "loss_ablation.json"


def world(folder: Path) -> list[str]:
    """The snapshot that all runs share, as arguments of the trainer."""
    made = Snapshot(folder)
    if not (made.folder / "manifest.json").exists():
        made.add_scenes("train", "easy", 55, negatives=1).add_scenes("train", "hard", 25, round=1, negatives=1)
        made.add_scenes("val", "easy", 15, negatives=1).add_scenes("val", "hard", 10, negatives=1)
        made.add_scenes("holdout", "easy", 45, negatives=2).add_scenes("holdout", "hard", 35, negatives=2)
        made.freeze()
    return [f"snapshot={made.folder}", f"images={made.images}", f"features={folder / 'features'}"]


def run(folder: Path, shared: list[str], variant: str, seed: int) -> dict[str, Any]:
    """One row: figures on the holdout, and which step was kept. `seed` does not matter to the base."""
    home = home_of(folder, variant, seed)
    if (home / "result.json").exists():
        return json.loads((home / "result.json").read_text())
    row: dict[str, Any] = {"variant": variant, "seed": seed}
    if variant == "base model":
        model = DEMO
    else:
        made = trainer("train", home / "train", [*shared, f"base_model={DEMO}", f"seed={seed}", *VARIANTS[variant]])
        row |= {"kept_step": made["metrics"]["best_step"], "train_seconds": made["seconds"]}
        model = home / "train" / "model"
    found = trainer("evaluate", home / "holdout", [*shared, f"model={model}", "split=holdout"])["summary"]
    row |= {key: round(found[key], 4) for key in ("cgf1", "pmf1", "il_mcc", "il_fpr")}
    row |= {source: round(one["cgf1"], 4) for source, one in found["by_source"].items()}
    shutil.rmtree(home / "train" / "checkpoints", ignore_errors=True)
    (home / "result.json").write_text(json.dumps(row) + "\n")
    print(row, flush=True)
    return row


def home_of(folder: Path, variant: str, seed: int) -> Path:
    return folder / f"{variant.strip('`')}-{seed}"


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| | seed | kept at step | all | easy | hard | false positives |", "| --- " * 7 + "|"]
    for row in rows:
        every = f"{100 * row['cgf1']:.1f} ({100 * row['pmf1']:.1f}, {row['il_mcc']:.3f})"
        is_base = "kept_step" not in row
        said = [row["variant"], "" if is_base else row["seed"], row.get("kept_step", ""), every]
        said += [f"{100 * row['easy']:.1f}", f"{100 * row['hard']:.1f}", f"{row['il_fpr']:.3f}"]
        lines.append(f"| {' | '.join(map(str, said))} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the runs; what is finished there is kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only-report", action="store_true", help="run nothing: tell what is finished")
    parser.add_argument("--write", action="store_true", help="keep the figures and the docs table")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    shared = world(folder)
    wanted = [("base model", 0), *((variant, seed) for variant in VARIANTS for seed in asked.seeds)]
    if asked.only_report:
        wanted = [one for one in wanted if (home_of(folder, *one) / "result.json").exists()]
    rows = [run(folder, shared, *one) for one in wanted]
    print("\n".join(table(rows)))
    if asked.write:
        RESULT.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        put_table(REPOSITORY / "docs" / "training.md", "loss_ablation", table(rows))


if __name__ == "__main__":
    main()
