"""How much disk a training run takes, from the headers of the model that it starts from; no tensor is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from .weights import weights_files, weights_header

# Checkpoints kept beside the best; while another is written there is one more.
KEPT_CHECKPOINTS = 2
FP32_BYTES = 4
# What a retrain moves lies under this name in the hub's layout, but for the parts that stay as they are.
TRAINED = "detector_model."
UNTRAINED = ("detector_model.vision_encoder.backbone.", "detector_model.geometry_encoder.")
TEXT = ("detector_model.text_encoder.", "detector_model.text_projection.")
# Weights, their average and two moments of the optimiser.
COPIES = 4


@dataclass(frozen=True)
class RunSize:
    """checkpoint_bytes: one of them; model_bytes: the new version, which lies once on the disk."""

    checkpoint_bytes: int
    model_bytes: int

    @property
    def best_bytes(self) -> int:
        """The best weights alone, without what training goes on from."""
        return self.checkpoint_bytes // COPIES

    @property
    def bytes(self) -> int:
        """The most that lies there at once."""
        return (KEPT_CHECKPOINTS + 1) * self.checkpoint_bytes + self.best_bytes + self.model_bytes


def run_size(folder: Path, *, with_text: bool) -> RunSize:
    """Of a run that starts from this model folder; `with_text`: whether its text tower learns (text_rate above 0)."""
    fixed = UNTRAINED if with_text else UNTRAINED + TEXT
    trained = total = 0
    for path in weights_files(folder):
        tensors, size = weights_header(path)
        total += size
        moved = (row for name, row in tensors.items() if name.startswith(TRAINED) and not name.startswith(fixed))
        trained += sum(math.prod(row["shape"]) for row in moved)
    return RunSize(COPIES * FP32_BYTES * trained, total)


def gigabytes(size: int) -> str:
    """For a sentence: 6.9 GB, 48 MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{math.ceil(size / 1e6)} MB"
