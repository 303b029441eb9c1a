"""What does training the ViT cost? `python -m bench.train [--model demo|full|FOLDER] [--modes heads full lora]`

The trainer's own steps on drawn barn scenes, each way in a process of its own, all with the same batches: images that
are learned from a second, the most memory, and from these the minutes that 24 images x 50 epochs would take (steps are
timed, not run to the end; encoding is part of the heads' minutes, validation of nobody's). On a CPU the processor's
seconds are told as well, which a busy machine distorts less. On a card the most memory that tensors took.

    python -m bench.train --model full --device cuda      # SAM 3's size, random weights
    python -m bench.train --model full --plan --card 24GB # what that would need, where there is no card
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from bench.serving import environment, model_folder, percentiles, write_result
from bench.train_step import memory
from tests.train.snapshots import Snapshot
from toolbox.processes import jemalloc_environment
from training.config import Config, read_config
from training.events import Events
from training.fit import asked_fit
from training.heads import use_training_mode
from training.launch import StopRequest
from training.models import choose_device, load_model
from training.plan import Planner, as_words, card_bytes_of
from training.trainer import Trainer

MODES = ("heads", "full", "lora")
IMAGES, EPOCHS = 24, 50


def config_of(mode: str, root: Path, options: argparse.Namespace) -> Config:
    """The same batches and rates of the text tower for all; nothing of the cache is there yet."""
    made = Snapshot(root).add_scenes("train", "easy", IMAGES).add_scenes("val", "easy", 2).freeze()
    folders = {"snapshot": made.folder, "images": made.images, "features": root / "features", "base_model": "none"}
    given = {**folders, "model": mode, "data": "moving", "text_rate": 0, "mirror": "false", "device": options.device}
    given |= {"batch_pairs": options.pairs, "steps": 1000}
    given |= {"micro_pairs": options.micro} if options.micro else {}
    return read_config("train", None, [f"{key}={value}" for key, value in given.items()])


def measured(mode: str, options: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        config = config_of(mode, Path(name), options)
        device = choose_device(config.device)
        model = load_model(model_folder(options.model), device=device)
        fit = asked_fit(config, device)
        trainer = Trainer(config, model, Path(name) / "run", Events([io.StringIO()]), StopRequest(), fit)
        prepare_s, prepare_cpu_s = timed_s(trainer, trainer._prepare_features)
        use_training_mode(model.network, True)
        return _of_steps(trainer, mode, options) | {
            "prepare_s": round(prepare_s, 2),
            "prepare_cpu_s": round(prepare_cpu_s, 2),
            **memory(device),
        }


def _of_steps(trainer: Trainer, mode: str, options: argparse.Namespace) -> dict[str, Any]:
    times, cpu_times, images = [], [], 0
    for step in range(options.steps + 1):
        batch = trainer.sampler.batch(step)
        spent_s, cpu_s = timed_s(trainer, lambda batch=batch: trainer._learn(batch))
        if step:  # the first one is not timed
            times.append(spent_s)
            cpu_times.append(cpu_s)
            images += len({pair.image for pair in batch.pairs})
    return {
        "mode": mode,
        "trained_parameters": sum(parameter.numel() for parameter in trainer.parameters.values()),
        "images_a_step": round(images / options.steps, 2),
        "step_ms": percentiles([1000 * spent for spent in times]),
        "images_a_second": round(images / sum(times), 3),
        "images_a_cpu_second": round(images / sum(cpu_times), 3),
    }


def timed_s(trainer: Trainer, work: Any) -> tuple[float, float]:
    """By the clock, and of the processor."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    began = time.monotonic()
    work()
    if trainer.model.device.type == "cuda":
        torch.cuda.synchronize()
    spent_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    return spent_s, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def with_minutes(row: dict[str, Any]) -> dict[str, Any]:
    """Of 24 images x 50 epochs, by what a step took."""
    whole = IMAGES * EPOCHS
    minutes = (row["prepare_s"] + whole / row["images_a_second"]) / 60
    cpu_minutes = (row["prepare_cpu_s"] + whole / row["images_a_cpu_second"]) / 60
    return row | {"minutes": round(minutes, 2), "cpu_minutes": round(cpu_minutes, 2)}


def in_a_process_of_its_own(mode: str, threads: int) -> dict[str, Any]:
    """Else the most memory would be that of whatever came before. With the allocator that a run has."""
    command = [sys.executable, "-m", "bench.train", *sys.argv[1:], "--only", mode]
    variables = os.environ | jemalloc_environment() | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"mode": mode, "failed": done.stderr.strip().splitlines()[-1:]}
    return with_minutes(json.loads(done.stdout.splitlines()[-1])) | {"load_average": round(os.getloadavg()[0], 1)}


def planned(mode: str, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        config = config_of(mode, Path(name), options)
        plan = Planner(config, model_folder(options.model), card_bytes_of(options.card)).train()
    print(f"{mode}: {as_words(plan)}")
    return {"mode": mode, "planned": plan.plain()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="as a run has it")
    parser.add_argument("--steps", type=int, default=6, help="timed for each way, after one that is not")
    parser.add_argument("--pairs", type=int, default=8, help="of a batch")
    parser.add_argument("--micro", type=int, help="pairs learned from together; all of them unless told")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--plan", action="store_true", help="say what it would need instead of doing it")
    parser.add_argument("--card", default="24GB")
    parser.add_argument("--name", help="of the result file")
    parser.add_argument("--only", choices=MODES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measured(options.only, options)))
        return
    result: dict[str, Any] = {"environment": environment(), "model": options.model, "threads": options.threads}
    result |= {"images": IMAGES, "epochs": EPOCHS, "batch_pairs": options.pairs, "steps": options.steps, "rows": []}
    for mode in options.modes:
        result["rows"].append(
            planned(mode, options) if options.plan else in_a_process_of_its_own(mode, options.threads)
        )
        print(result["rows"][-1])
        suffix = ("" if options.model == "demo" else f"-{Path(options.model).name}") + ("-plan" if options.plan else "")
        write_result(options.name or f"train{suffix}", result)


if __name__ == "__main__":
    main()
