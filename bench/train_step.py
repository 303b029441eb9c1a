"""What does one training step cost? `python -m bench.train_step [--model demo|full|FOLDER] [--batches 16/4/6 2/1/1]`

The trainer's own step (training/trainer.py) on drawn barn scenes: pairs of a batch / positives whose masks are learned
from / mixtures, which are batch_pairs, mask_pairs and blend_pairs of a run. Milliseconds and, on a GPU, the most memory
that tensors took, in fp32, fp32 with TF32 products and bf16 autocast; also what encoding an image and judging a pair
cost. The file is written anew after every row, so that what is cut off keeps the rows before.
"""

from __future__ import annotations

import argparse
import gc
import io
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from bench.serving import environment, model_folder, percentiles, timed_ms, write_result
from tests.train.snapshots import Snapshot
from training.config import Config
from training.evaluate import evaluate_model
from training.events import Events
from training.heads import use_training_mode
from training.launch import StopRequest
from training.models import choose_device, load_model
from training.sampling import Sampler
from training.trainer import Trainer

PRECISIONS = ("float32", "tf32", "bfloat16")
MIB = 2**20


def build_trainer(root: Path, options: argparse.Namespace) -> tuple[Trainer, dict[str, Any]]:
    """The trainer as a run builds it, every image encoded; with what the encoding took."""
    snapshot = Snapshot(root).add_scenes("train", "easy", options.images).add_scenes("val", "easy", 4).freeze()
    config = Config(snapshot=str(snapshot.folder), images=str(snapshot.images), steps=1000)
    model = load_model(model_folder(options.model), device=choose_device(options.device))
    trainer = Trainer(config, model, root / "run", Events([io.StringIO()]), StopRequest())
    spent_ms = timed_ms(trainer._prepare_features)
    row = {"images": trainer.features.encoded, "ms_an_image": round(spent_ms / trainer.features.encoded, 1)}
    print(f"frozen ViT in fp32, batches of 8: {row['ms_an_image']} ms an image")
    return trainer, row | memory(trainer.model.device)


def use(trainer: Trainer, precision: str, batch: tuple[int, int, int]) -> None:
    """Another batch and precision for the same weights: what a step costs does not follow from their values."""
    config = trainer.config
    config.batch_pairs, config.mask_pairs, config.blend_pairs = batch
    config.precision = "bfloat16" if precision == "bfloat16" else "float32"
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    trainer.sampler = Sampler(
        trainer.train_pairs, seed=0, batch_pairs=config.batch_pairs, positive_share=config.positive_share
    )


def measure(trainer: Trainer, precision: str, batch: tuple[int, int, int], steps: int) -> dict[str, Any]:
    """One row; where memory runs out the row says so, and the next is tried."""
    row: dict[str, Any] = {"precision": precision, "batch": "/".join(map(str, batch))}
    use(trainer, precision, batch)
    use_training_mode(trainer.model.network, True)
    forget(trainer)
    try:
        times = [timed_ms(trainer._learn, trainer.sampler.batch(step)) for step in range(steps + 1)][1:]
    except torch.cuda.OutOfMemoryError as error:
        forget(trainer)
        return row | {"out_of_memory": str(error).splitlines()[0]}
    row |= {"ms": percentiles(times)} | memory(trainer.model.device)
    print(f"a step of {row['batch']} pairs, {precision}: {row['ms']} ms, {memory(trainer.model.device)}")
    return row


def judge(trainer: Trainer) -> dict[str, Any]:
    """Validation of `val` in fp32, as at every validate_every steps."""
    use(trainer, "float32", (16, 4, 6))
    forget(trainer)
    use_training_mode(trainer.model.network, False)
    spent_ms = timed_ms(lambda: evaluate_model(trainer.model, trainer.features, trainer.val, keep_score=0.5))
    return {"pairs": len(trainer.val.pairs), "ms_a_pair": round(spent_ms / len(trainer.val.pairs), 1)} | memory(
        trainer.model.device
    )


def forget(trainer: Trainer) -> None:
    """Nothing of the row before counts: no gradients, no cached blocks. AdamW's moments stay, as in a run."""
    trainer.optimiser.zero_grad(set_to_none=True)
    gc.collect()
    if trainer.model.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def memory(device: torch.device) -> dict[str, int]:
    if device.type == "cuda":
        return {
            "max_allocated_mib": torch.cuda.max_memory_allocated() // MIB,
            "max_reserved_mib": torch.cuda.max_memory_reserved() // MIB,
        }
    return {"process_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def batch_of(text: str) -> tuple[int, int, int]:
    pairs, masks, blends = (int(part) for part in text.split("/"))
    return pairs, masks, blends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--steps", type=int, default=5, help="timed for each row, after one that is not")
    parser.add_argument("--batches", type=batch_of, nargs="+", default=[(16, 4, 6), (8, 4, 3), (4, 2, 1), (2, 1, 0)])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--name", help="of the result file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    name = options.name or f"train-step-{Path(options.model).name}"
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as root:
        trainer, encode = build_trainer(Path(root), options)
        trained = sum(parameter.numel() for parameter in trainer.parameters.values())
        result: dict[str, Any] = {
            "environment": environment(),
            "model": options.model,
            "device": str(trainer.model.device),
            "trained_parameters": trained,
            "encode": encode,
            "rows": [],
        }
        write_result(name, result)
        for batch in options.batches:
            for precision in options.precisions:
                result["rows"].append(measure(trainer, precision, batch, options.steps))
                write_result(name, result)
        result["validation"] = judge(trainer)
        result["seconds"] = round(time.monotonic() - began, 1)
        write_result(name, result)


if __name__ == "__main__":
    main()
