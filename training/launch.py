"""The process around a run: its manners (priority, threads, allocator) and its ends (SIGTERM, a dead parent).

Imported before torch on purpose: the allocator has to be chosen before anything large is loaded.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from toolbox.processes import on_parent_death
from training.errors import Stopped

log = logging.getLogger(__name__)


class StopRequest:
    """Set by SIGTERM or a dead parent; the work asks now and then, at a point where it can stop cleanly."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        self._asked.set()

    def __bool__(self) -> bool:
        return self._asked.is_set()

    def check(self) -> None:
        if self:
            raise Stopped

    def checked(self, report: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """A progress callback that also stops."""

        def progress(done: int, of: int) -> None:
            report(done, of)
            self.check()

        return progress


def watch(stop: StopRequest) -> None:
    """SIGTERM and SIGINT ask the run to stop; so does the death of its parent (unless ROOST_OUTLIVE_PARENT=1)."""

    def asked(_signal: int, _frame: FrameType | None) -> None:
        stop.ask()

    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGINT, asked)
    if not os.environ.get("ROOST_OUTLIVE_PARENT"):
        on_parent_death(stop.ask)


def settle(*, threads: int, nice: int) -> None:
    """Low priority and few threads: clicks are served on the same cores."""
    import torch

    os.nice(max(0, nice - os.nice(0)))
    torch.set_num_threads(threads)
