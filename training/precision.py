"""The arithmetic of a run: fp32, or half as many bits where they do, under torch's autocast.

bf16 has fp32's range; a card without it (before Ampere) gets fp16, whose small gradients are scaled up and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """dtype is autocast's; None is fp32 throughout."""

    dtype: torch.dtype | None = None

    @property
    def name(self) -> str:
        return next(name for name, dtype in DTYPES.items() if dtype is self.dtype)

    @property
    def wants_scaling(self) -> bool:
        return self.dtype is torch.float16

    def autocast(self, device: torch.device) -> Any:
        return torch.autocast(device.type, dtype=self.dtype, enabled=self.dtype is not None)


FULL = Precision()


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """`auto`: fp32 on a CPU; on a card bf16, or fp16 where it has none. So is a bf16 that the card does not have."""
    if wanted == "auto":
        wanted = "bfloat16" if device.type == "cuda" else "float32"
    if wanted == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        wanted = "float16"
    return Precision(DTYPES[wanted])
