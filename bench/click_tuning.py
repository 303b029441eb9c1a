"""What tuning the click decoder does to clicks: the demo model on hard drawn scenes it has not seen, by rate and seed.

    python -m bench.click_tuning --folder DIR [--rates 0.1 0.3 1] [--seeds 0 1 2] [--steps 100]

The heads are left out, since not a bit of either depends on the other (tests/train/test_clicks.py). Nobody clicked on
drawn scenes: every click is simulated. Rows are printed and kept in DIR/clicks.json; what is there is not done again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from bench.few_labels import DEMO
from tests.train.snapshots import Snapshot
from toolbox.training_settings import TrainerConfig
from training.click_judge import clickables
from training.clicks import ClickTuner
from training.dataset import Snapshot as Frozen
from training.events import Events
from training.features import FeatureStore
from training.heads import trainable
from training.launch import StopRequest
from training.material import Material
from training.models import load_model
from training.targets import Targets

TRAIN, VAL = 60, 40


def world(folder: Path) -> Frozen:
    made = Snapshot(folder)
    if not (made.folder / "manifest.json").is_file():
        made.add_scenes("train", "hard", TRAIN).add_scenes("val", "hard", VAL).freeze()
    return Frozen(made.folder)


def tuner(folder: Path, frozen: Frozen, **settings: Any) -> ClickTuner:
    config = TrainerConfig(snapshot=str(frozen.folder), images=str(folder / "images"), **settings)
    model = load_model(DEMO, device=torch.device("cpu"))
    trainable(model.network)
    features = FeatureStore(model, config.images, folder / "features")
    train, val = frozen.split("train").trainable, frozen.split("val")
    features.prepare({pair.image for pair in [*train, *val.pairs]})
    material = Material(train, val, {})
    return ClickTuner(config, model, features, Targets(model.network.grid_size), material)


def run(folder: Path, frozen: Frozen, rate: float, seed: int, steps: int) -> dict[str, Any]:
    began = time.process_time()
    made = tuner(folder, frozen, click_rate=rate, seed=seed, steps=steps, click_judged=100)
    losses = [made.learn(step, step / steps)["click"] for step in range(steps)]
    made.finish(Events([]), StopRequest())
    tenth = max(1, steps // 10)
    told = {"first_losses": sum(losses[:tenth]) / tenth, "last_losses": sum(losses[-tenth:]) / tenth}
    cpu_s = round(time.process_time() - began, 1)
    return {"rate": rate, "seed": seed, "steps": steps, "cpu_s": cpu_s, **told, **made.report}


def row(told: dict[str, Any]) -> str:
    base, tuned, more = told["base"], told["tuned"], told["more_clicks"]
    pairs = [f"{base[key]:.3f} -> {tuned[key]:.3f}" for key in ("clicks_to_85", "clicks_to_90")]
    pairs += [f"{100 * base[key]:.1f} -> {100 * tuned[key]:.1f}" for key in ("iou_after_1", "iou_after_3")]
    interval = f"{more['mean']:+.2f} ({more['low']:+.2f} to {more['high']:+.2f})"
    kept = "kept" if told["kept"] else "not kept"
    return f"| {told['rate']} | {told['seed']} | {' | '.join(pairs)} | {interval} | {kept} | {told['cpu_s']:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.3, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=100)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    frozen, kept = world(asked.folder), asked.folder / "clicks.json"
    rows = json.loads(kept.read_text()) if kept.is_file() else []
    print(f"{len(clickables(frozen.split('train').trainable))} objects to learn from")
    for seed in asked.seeds:
        for rate in asked.rates:
            known = [one for one in rows if (one["rate"], one["seed"], one["steps"]) == (rate, seed, asked.steps)]
            if not known:
                rows += (known := [run(asked.folder, frozen, rate, seed, asked.steps)])
                kept.write_text(json.dumps(rows, indent=1))
            print(row(known[0]), flush=True)


if __name__ == "__main__":
    main()
