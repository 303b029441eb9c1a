"""The process around a run: its manners (priority, threads, allocator) and its ends (SIGTERM, a dead parent).

Imported before torch on purpose: the allocator has to be chosen before anything large is loaded.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from training.errors import Stopped

log = logging.getLogger(__name__)
JEMALLOC = ("libjemalloc.so.2", "libjemalloc.so.1")
MALLOC_CONF = "dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always"
PARENT_POLL_S = 1.0
PR_SET_PDEATHSIG = 1


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


def restart_with_jemalloc() -> None:
    """Replace this process by itself under jemalloc, once: under glibc's malloc a CPU step takes up to 4 times longer.

    ROOST_NO_JEMALLOC=1 turns it off; a parent that preloads it already (the annotator does) makes this a no-op.
    """
    if sys.platform != "linux" or os.environ.get("ROOST_NO_JEMALLOC") or os.environ.get("ROOST_JEMALLOC_TRIED"):
        return
    preloaded = os.environ.get("LD_PRELOAD", "")
    library = None if "jemalloc" in preloaded else next(filter(_loads, JEMALLOC), None)
    if library is None:
        return
    environment = {
        **os.environ,
        "LD_PRELOAD": f"{library} {preloaded}".strip(),
        "MALLOC_CONF": os.environ.get("MALLOC_CONF", MALLOC_CONF),
        "ROOST_JEMALLOC_TRIED": "1",
    }
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _loads(library: str) -> bool:
    """Asked of a short-lived child: loading a second allocator into this process would not be undone."""
    import subprocess

    asked = subprocess.run(["/bin/true"], env={"LD_PRELOAD": library}, capture_output=True, check=False, timeout=20)
    return asked.returncode == 0 and not asked.stderr


def watch(stop: StopRequest) -> None:
    """SIGTERM and SIGINT ask the run to stop; so does the death of its parent (unless ROOST_OUTLIVE_PARENT=1)."""

    def asked(_signal: int, _frame: FrameType | None) -> None:
        stop.ask()

    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGINT, asked)
    if not os.environ.get("ROOST_OUTLIVE_PARENT"):
        _watch_parent(stop)


def _watch_parent(stop: StopRequest) -> None:
    """The kernel's signal is quick but also comes when merely the parent's thread ends: who the parent is decides."""
    parent = os.getppid()

    def orphaned() -> bool:
        return os.getppid() != parent

    def signalled(_signal: int, _frame: FrameType | None) -> None:
        if orphaned():
            stop.ask()

    def poll() -> None:
        waiter = threading.Event()
        while not orphaned():
            waiter.wait(PARENT_POLL_S)
        stop.ask()

    if sys.platform == "linux":
        signal.signal(signal.SIGUSR2, signalled)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGUSR2)
    threading.Thread(target=poll, name="parent-watch", daemon=True).start()


def settle(*, threads: int, nice: int) -> None:
    """Low priority and few threads: clicks are served on the same cores."""
    import torch

    os.nice(max(0, nice - os.nice(0)))
    torch.set_num_threads(threads)
