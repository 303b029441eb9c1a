"""How a run is cut to what the machine has: none of it changes what is learned, beyond rounding."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.config import Config
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
