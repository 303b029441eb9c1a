"""Processes that end with whoever started them, and the allocator beneath a training step.

`python -m toolbox.processes [--nice N] --parent PID -- COMMAND …`: become COMMAND, but die with the process PID. Linux
tells a process of its parent's death if it asked to be told (PR_SET_PDEATHSIG); asking before exec, in a program of its
own, spares a threaded parent the dangers of running code between fork and exec.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
PARENT_POLL_S = 1.0
SAVE_S = 600  # so long a trainer that was asked to end may write what it has
JEMALLOC = ("libjemalloc.so.2", "libjemalloc.so.1")
JEMALLOC_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
)
MALLOC_CONF = "dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always"


def child_command(command: Sequence[str], *, nice: int = 0) -> list[str]:
    """The command line that runs `command` as a child that does not outlive its parent."""
    manners = ["--nice", str(nice), "--parent", str(os.getpid())]
    return [sys.executable, "-m", "toolbox.processes", *manners, "--", *command]


def together_command(python: str, processes: int) -> list[str]:
    """What starts a module (`-m training …` follows) in several processes on this machine, by torchrun.

    It asks them to end when it is, and gives them time to write a checkpoint: its own 30 s are too few for SAM 3's.
    """
    time = ["--shutdown-timeout", str(SAVE_S)]
    return [python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), *time]


def on_parent_death(call: Callable[[], None]) -> None:
    """Call once the process that started this one is gone.

    The kernel's signal is quick but also comes when merely the parent's thread ends: who the parent is decides.
    """
    parent = os.getppid()

    def orphaned() -> bool:
        return os.getppid() != parent

    def signalled(_signal: int, _frame: FrameType | None) -> None:
        if orphaned():
            call()

    def poll() -> None:
        waiter = threading.Event()
        while not orphaned():
            waiter.wait(PARENT_POLL_S)
        call()

    if sys.platform == "linux":
        signal.signal(signal.SIGUSR2, signalled)
        _ask_for_parents_death(signal.SIGUSR2)
    threading.Thread(target=poll, name="parent-watch", daemon=True).start()


def end_with_parent() -> None:
    """What a pool of processes calls first in each: a parent that was killed can't end them."""
    on_parent_death(lambda: os._exit(1))


def _ask_for_parents_death(number: signal.Signals) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def jemalloc_path() -> str | None:
    """What LD_PRELOAD takes to load jemalloc, where there is one: its path, or a name that the loader finds."""
    if sys.platform != "linux":
        return None
    paths = [str(Path(folder) / name) for folder in JEMALLOC_FOLDERS for name in JEMALLOC]
    return next(filter(_loads, [*filter(os.path.exists, paths), *JEMALLOC]), None)


def _loads(library: str) -> bool:
    """Asked of a short-lived child: loading a second allocator into this process would not be undone."""
    asked = subprocess.run(["/bin/true"], env={"LD_PRELOAD": library}, capture_output=True, check=False, timeout=20)
    return asked.returncode == 0 and not asked.stderr


def jemalloc_environment() -> dict[str, str]:
    """What preloads jemalloc, where there is one: under glibc's malloc a CPU step takes up to 4 times longer.

    ROOST_NO_JEMALLOC=1 turns it off.
    """
    library = None if os.environ.get("ROOST_NO_JEMALLOC", "0") not in ("", "0") else jemalloc_path()
    if library is None:
        return {}
    preloaded = os.environ.get("LD_PRELOAD", "")
    return {
        "LD_PRELOAD": f"{library}:{preloaded}" if preloaded else library,
        "MALLOC_CONF": os.environ.get("MALLOC_CONF", MALLOC_CONF),
    }


def restart_with_jemalloc() -> None:
    """Replace this process by itself under jemalloc, once; a parent that preloads it already makes this a no-op."""
    if "jemalloc" in os.environ.get("LD_PRELOAD", "") or os.environ.get("ROOST_JEMALLOC_TRIED"):
        return
    if preload := jemalloc_environment():
        environment = {**os.environ, **preload, "ROOST_JEMALLOC_TRIED": "1"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m toolbox.processes")
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    if sys.platform == "linux":
        _ask_for_parents_death(signal.SIGTERM)
    if os.getppid() != arguments.parent:
        sys.exit("the process that started this one is gone already")
    if arguments.nice > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, arguments.nice)
    os.execvp(arguments.command[0], arguments.command)


if __name__ == "__main__":
    main()
