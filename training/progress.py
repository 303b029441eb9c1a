"""What a run remembers beside its weights; it lies in every checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """How far a run is, and what its validations found."""

    step: int = 0
    elapsed_s: float = 0.0
    best_step: int = -1
    best_cgf1: float = -math.inf
    without_gain: int = 0
    validations: list[dict[str, Any]] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "elapsed_s": round(self.elapsed_s, 3),
            "best_step": self.best_step,
            "best_cgf1": self.best_cgf1 if self.best_step >= 0 else None,
            "without_gain": self.without_gain,
            "validations": list(self.validations),  # the run adds to its own while these are written down
        }

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Progress:
        best = facts["best_cgf1"]
        return cls(
            facts["step"],
            facts["elapsed_s"],
            facts["best_step"],
            -math.inf if best is None else best,
            facts["without_gain"],
            list(facts["validations"]),
        )
