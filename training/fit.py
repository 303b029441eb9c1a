"""How a run is cut to what the machine has: none of it changes what is learned, beyond rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from training.config import Config
from training.errors import TrainingError
from training.precision import FULL, Precision, choose_precision

JUDGE_PAIRS = 16


@dataclass(frozen=True)
class Fit:
    """micro_pairs are learned from together, judge_pairs judged and encode_images encoded together; recompute: the
    detector's layers forget what they can compute again (recompute.py)."""

    micro_pairs: int
    judge_pairs: int = JUDGE_PAIRS
    encode_images: int = 8
    recompute: bool = False
    precision: Precision = FULL


def asked_fit(config: Config, device: torch.device) -> Fit:
    """What the config says, and where it leaves the choice, everything at once."""
    return Fit(
        micro_pairs=config.micro_pairs or config.batch_pairs,
        judge_pairs=config.judge_pairs or JUDGE_PAIRS,
        recompute={"always": True, "never": False}.get(config.recompute, device.type == "cuda"),
        precision=choose_precision(config.precision, device),
    )


def smaller(fit: Fit, config: Config, *, judges: bool = False) -> dict[str, Any]:
    """Settings of a run that needs less, when one that should have fitted did not: something else is on the card.

    judges: it learns nothing, and the keys of what learns are not for it.
    """
    if judges:
        return {"judge_pairs": fit.judge_pairs // 2} if fit.judge_pairs > 1 else {}
    if fit.micro_pairs > 1:
        return {"micro_pairs": math.ceil(fit.micro_pairs / 2), "judge_pairs": max(1, fit.judge_pairs // 2)}
    if not fit.recompute:
        return {"recompute": "always"}
    return {"text_rate": 0.0} if config.text_rate > 0 else {}


@contextmanager
def memory_told(fit: Fit, config: Config, *, judges: bool = False) -> Iterator[None]:
    """A card that runs out of memory inside the block ends the run with what to set for the next one."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        settings = smaller(fit, config, judges=judges)
        words = ", ".join(f"{name} to {value}" for name, value in settings.items())
        todo = f"set {words}, or free the card of what else runs on it" if words else "it takes a card with more"
        raise TrainingError("out_of_memory", f"The GPU's memory ran out: {todo}.", settings=settings) from error
