"""Checkpoints written behind: held in memory first, so that neither the next step nor a freed card waits for a disk.

A checkpoint of SAM 3 with its text tower is 6.9 GB, half a minute of writing and reading back.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training.checkpoints import BEST, CheckpointFolder, State
from training.errors import Stopped
from training.events import Events
from training.launch import StopRequest

LOOK_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class _Begun:
    name: str
    facts: dict[str, Any]
    written: Future[Path]


class Saver:
    """Writes on a thread of its own, in order, one at a time; what went wrong there is raised at the next call.

    `waits`: save() returns once the file lies there, or as soon as the run is asked to stop. On a CPU nothing is gained
    by going on beside the writing, and the copy is spared.
    """

    def __init__(self, folder: CheckpointFolder, events: Events, stop: StopRequest, *, waits: bool) -> None:
        self._folder, self._events, self._stop, self._waits = folder, events, stop, waits
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._begun: _Begun | None = None
        self._last: tuple[str, dict[str, Any]] | None = None

    def save(self, name: str, state: State, facts: dict[str, Any], *, copy: bool = False) -> None:
        """Stopped where an earlier one is still being written when the run is asked to stop.

        `copy`: the state changes after this call although the saver waits.
        """
        self.settle(unless_stopped=True)
        if self._begun is not None:
            raise Stopped
        # AdamW counts its steps in tensors that lie on the CPU in any case.
        self._begin(name, in_memory(state, copy=copy or not self._waits), facts)
        if self._waits:
            self.settle(unless_stopped=True)

    def save_last(self, name: str, state: State, facts: dict[str, Any]) -> None:
        """Before the process ends: whatever is under way, then this, unless it is just that."""
        if self._last != (name, facts):
            self.settle()
            self._begin(name, state, facts)
        self.settle()

    def settle(self, *, unless_stopped: bool = False) -> None:
        """Wait until what was begun lies there, and say so."""
        while self._begun is not None:
            if self._begun.written.done() or not unless_stopped:
                self._tell(self._begun)
            elif self._stop:
                return
            else:
                wait_for([self._begun.written], timeout=LOOK_EVERY_SECONDS)

    def _begin(self, name: str, state: State, facts: dict[str, Any]) -> None:
        self._begun = _Begun(name, facts, self._thread.submit(self._folder.write, name, state, facts))
        self._last = (name, facts)

    def _tell(self, begun: _Begun) -> None:
        self._begun = None
        path = begun.written.result()
        self._events("checkpoint", step=begun.facts["step"], path=str(path), best=begun.name == BEST)


def in_memory(state: State, *, copy: bool = False) -> State:
    """The state off the card; on a CPU the same tensors, unless `copy`."""
    return {name: tensor.detach().to("cpu", copy=copy) for name, tensor in state.items()}


def let_go(tensors: Iterable[torch.Tensor]) -> None:
    """Free what these hold, wherever it is; views that others took before keep theirs."""
    for tensor in tensors:
        tensor.grad = None
        tensor.data = torch.empty(0, dtype=tensor.dtype)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
