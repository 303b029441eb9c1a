"""The loop that both training stages share: step, report, save, resume after a kill."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from toolbox.files import written_whole
from training.demo.optimiser import Optimiser

REPORT_EVERY = 50
SAVE_EVERY_S = 120.0


def run_stage(
    path: Path,
    modules: dict[str, nn.Module],
    optimiser: Optimiser,
    steps: int,
    losses_at: Callable[[int], dict[str, torch.Tensor]],
) -> float:
    """Train on losses_at(step)["total"] up to `steps`; returns the seconds spent on this stage so far.

    path holds the newest checkpoint: it is resumed from if there, and replaced every two minutes and at the end.
    losses_at must draw everything random from the step's number, so that a resumed run sees the same batches.
    """
    done, seconds = _resume(path, modules, optimiser)
    began = saved_at = time.monotonic()
    sums: dict[str, float] = {}
    for step in range(done, steps):
        losses = losses_at(step)
        losses["total"].backward()
        optimiser.step(step)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        now = time.monotonic()
        if (step + 1) % REPORT_EVERY == 0:
            means = " ".join(f"{name} {total / REPORT_EVERY:.3f}" for name, total in sums.items())
            print(f"{path.stem} {step + 1}/{steps} {means} {seconds + now - began:.0f}s", flush=True)
            sums = {}
        if now - saved_at > SAVE_EVERY_S or step + 1 == steps:
            _save(path, modules, optimiser, step + 1, seconds + now - began)
            saved_at = now
    return seconds + time.monotonic() - began


def _save(path: Path, modules: dict[str, nn.Module], optimiser: Optimiser, step: int, seconds: float) -> None:
    state = {name: module.state_dict() for name, module in modules.items()}
    with written_whole(path, alone=True) as beside:
        torch.save(state | {"optimiser": optimiser.state_dict(), "step": step, "seconds": seconds}, beside)


def _resume(path: Path, modules: dict[str, nn.Module], optimiser: Optimiser) -> tuple[int, float]:
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    for name, module in modules.items():
        module.load_state_dict(state[name])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"], state.get("seconds", 0.0)
