"""Does a run take what its plan says? `python -m bench.fits [--model full|demo|FOLDER] [--rows heads text ...]`

For each row the plan (training/plan.py: fake tensors, no card) and then the trainer's own steps and validation on the
card, with the most memory that tensors took (torch.cuda.max_memory_allocated). The file is written anew after each row.
"""

from __future__ import annotations

import argparse
import gc
import io
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from bench.serving import environment, model_folder, percentiles, timed_ms, write_result
from bench.train_step import memory
from tests.train.snapshots import Snapshot
from training.config import Config
from training.evaluate import evaluate_model
from training.events import Events
from training.fit import Fit, asked_fit
from training.heads import use_training_mode
from training.launch import StopRequest
from training.models import choose_device, load_model
from training.plan import Planner
from training.trainer import Trainer

ROWS: dict[str, dict[str, Any]] = {
    "heads": {"text_rate": 0.0},
    "heads in parts of 4": {"text_rate": 0.0, "micro_pairs": 4},
    "text tower too": {},
    "text tower too, in parts of 4": {"micro_pairs": 4},
    "heads in fp32": {"text_rate": 0.0, "precision": "float32"},
    "text tower too, nothing recomputed": {"recompute": "never"},
}
MIB = 2**20


def fresh_peak(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def planned(config: Config, folder: Path, fit: Fit) -> dict[str, Any]:
    began = time.monotonic()
    phases = Planner(config, folder, None).phases(fit, config)
    figures = {phase.name: {"mib": phase.bytes // MIB, "parts": phase.parts} for phase in phases}
    return figures | {"seconds": round(time.monotonic() - began, 1)}


def measured(config: Config, folder: Path, root: Path, fit: Fit, device: torch.device, steps: int) -> dict[str, Any]:
    fresh_peak(device)
    model = load_model(folder, device=device)
    row: dict[str, Any] = {"load": memory(device)}
    trainer = Trainer(config, model, root / "run", Events([io.StringIO()]), StopRequest(), fit)
    fresh_peak(device)
    row["encode"] = {"ms": round(timed_ms(trainer._prepare_features)), "images": trainer.features.encoded}
    row["encode"] |= memory(device)
    fresh_peak(device)
    use_training_mode(model.network, True)
    times = [timed_ms(trainer._learn, trainer.sampler.batch(step)) for step in range(steps + 1)][1:]
    row["train"] = {"ms": percentiles(times)} | memory(device)
    trainer.optimiser.zero_grad(set_to_none=True)
    use_training_mode(model.network, False)
    fresh_peak(device)
    with trainer.average.in_network(config.start_share):
        spent_ms = timed_ms(
            lambda: evaluate_model(model, trainer.features, trainer.val, keep_score=0.5, **trainer._judging())
        )
    row["validate"] = {"ms_a_pair": round(spent_ms / len(trainer.val.pairs), 1)} | memory(device)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="full")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--steps", type=int, default=3, help="timed for each row, after one that is not")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--name", help="of the result file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device, folder = choose_device(options.device), model_folder(options.model)
    result: dict[str, Any] = {"environment": environment(), "model": options.model, "device": str(device), "rows": []}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        made = Snapshot(root).add_scenes("train", "easy", options.images).add_scenes("val", "easy", 4).freeze()
        base = {"snapshot": str(made.folder), "images": str(made.images), "features": str(root / "features")}
        for row in options.rows:
            config = Config(**base, **{"steps": 1000, **ROWS[row]})
            fit = asked_fit(config, device)
            figures = {"row": row, "settings": ROWS[row], "planned": planned(config, folder, fit)}
            figures["measured"] = _told_if_too_large(config, folder, root, fit, device, options.steps)
            result["rows"].append(figures)
            print(row, figures["planned"], figures["measured"], sep="\n  ")
            write_result(options.name or f"fits-{Path(options.model).name}", result)


def _told_if_too_large(*arguments: Any) -> dict[str, Any]:
    try:
        return measured(*arguments)
    except torch.OutOfMemoryError as error:
        return {"out_of_memory": str(error).splitlines()[0]}


if __name__ == "__main__":
    main()
