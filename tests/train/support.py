"""What tests of runs share: a stop at a chosen moment, and the gradients of one step held against another's."""

from __future__ import annotations

from typing import Any

import torch

from training.events import Events
from training.launch import StopRequest
from training.learning import Learner
from training.sampling import Batch


class StopAfter(Events):
    """Asks the run to stop at its first checkpoint from that step on: SIGTERM at a chosen moment."""

    def __init__(self, stop: StopRequest, step: int = 0) -> None:
        super().__init__([])
        self._stop, self._step = stop, step
        self.listen(self._hear)

    def _hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "checkpoint" and not event["best"] and event["step"] >= self._step:
            self._stop.ask()


def learned(one: Learner, batch: Batch) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Loss terms and gradients of one step, dropout drawn from the same seed."""
    torch.manual_seed(0)
    terms = one.learn(batch, 0)
    return terms, {name: p.grad.clone() for name, p in one.parameters.items() if p.grad is not None}


def apart(got: dict[str, torch.Tensor], want: dict[str, torch.Tensor]) -> float:
    """The largest difference of two sets of gradients, as a share of the largest gradient."""
    assert got.keys() == want.keys()
    largest = max(float(gradient.abs().max()) for gradient in want.values())
    assert largest > 0
    return max(float((got[name] - want[name]).abs().max()) for name in want) / largest
