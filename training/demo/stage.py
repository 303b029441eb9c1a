"""One stage of the demo model's making: what its loop learns from, tells and saves. A killed one goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from training.checkpoints import CheckpointFolder, State
from training.demo.optimiser import Optimiser
from training.errors import Stopped
from training.events import silent
from training.launch import StopRequest
from training.loop import Means, repeat
from training.saving import Saver

REPORT_EVERY = 50
SAVE_EVERY_S = 120.0
Losses = Callable[[int], dict[str, torch.Tensor]]


class Stage:
    """Trains on losses_at(step)["total"]; `folder` holds its checkpoints, a new one every two minutes and at the end.

    losses_at must draw everything random from the step's number, so that a resumed stage sees the same batches.
    """

    def __init__(
        self,
        folder: Path,
        modules: dict[str, nn.Module],
        optimiser: Optimiser,
        losses_at: Losses,
        stop: StopRequest | None = None,
    ) -> None:
        self._modules, self._optimiser, self._losses_at = modules, optimiser, losses_at
        self._stop = StopRequest() if stop is None else stop  # one that nobody asked is false
        self._name, self._folder = folder.name, CheckpointFolder(folder, folder.name)
        self._saver = Saver(self._folder, silent(), self._stop, waits=True)
        self._step, self._seconds, self._saved_at_s, self._means = 0, 0.0, 0.0, Means()

    def run(self, steps: int) -> float:
        """Up to so many steps in all; the seconds that they took. Stopped after a checkpoint where that was asked."""
        self._resume()
        try:
            repeat(lambda: self._one_step(steps), lambda: self._step >= steps, self._stop)
        except Stopped:
            self._saver.save_last(*self._checkpoint())
            raise
        self._saver.save_last(*self._checkpoint())
        return self._seconds

    def _one_step(self, steps: int) -> None:
        began = time.monotonic()
        losses = self._losses_at(self._step)
        losses["total"].backward()
        self._optimiser.step(self._step)
        self._means.add({name: float(value.detach()) for name, value in losses.items()})
        self._step += 1
        self._seconds += time.monotonic() - began
        if self._step % REPORT_EVERY == 0:
            told = " ".join(f"{name} {mean:.3f}" for name, mean in self._means.take().items())
            print(f"{self._name} {self._step}/{steps} {told} {self._seconds:.0f}s", flush=True)
        if self._seconds - self._saved_at_s > SAVE_EVERY_S:
            self._saver.save(*self._checkpoint())
            self._saved_at_s = self._seconds

    def _checkpoint(self) -> tuple[str, State, dict]:
        state = {f"{part}|{name}": value for part, of in self._modules.items() for name, value in weights(of).items()}
        state |= {f"optimiser|{key}": value for key, value in self._optimiser.state().items()}
        return f"step-{self._step:08d}", state, {"step": self._step, "seconds": self._seconds}

    def _resume(self) -> None:
        found = self._folder.newest()
        if found is None:
            return
        for part, module in self._modules.items():
            load(module, part_of(found.state, part))
        self._optimiser.restore(part_of(found.state, "optimiser"))
        self._step, self._seconds = found.facts["step"], found.facts["seconds"]
        self._saved_at_s = self._seconds


def part_of(state: State, part: str) -> State:
    """The tensors of one of a stage's modules, by their names in it."""
    return {name.removeprefix(f"{part}|"): value for name, value in state.items() if name.startswith(f"{part}|")}


def load_learned(module: nn.Module, folder: Path, part: str) -> None:
    """What a stage that has run left of one of its modules."""
    found = CheckpointFolder(folder, folder.name).newest()
    if found is None:
        raise FileNotFoundError(f"{folder} holds no whole checkpoint: run the stage that makes it first.")
    load(module, part_of(found.state, part))


def weights(module: nn.Module) -> State:
    """Each once: detector and click decoder share the ViT, and safetensors holds no tensor under two names."""
    state = module.state_dict()
    return {name: state[name] for name in first_names(module).values()}


def load(module: nn.Module, state: State) -> None:
    module.load_state_dict({name: state[first] for name, first in first_names(module).items()})


def first_names(module: nn.Module) -> dict[str, str]:
    """Of each entry of the module's state the first that is the same tensor."""
    firsts: dict[tuple[int, torch.Size], str] = {}
    return {
        name: firsts.setdefault((value.data_ptr(), value.shape), name) for name, value in module.state_dict().items()
    }
