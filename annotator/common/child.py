"""`python -m annotator.common.child [--nice N] -- COMMAND …`: become COMMAND, but die with whoever started us.

Linux tells a process of its parent's death if it asked to be told (PR_SET_PDEATHSIG); asking before exec, in a
program of its own, spares a threaded parent the dangers of running code between fork and exec.
"""

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def child_command(command: Sequence[str], *, nice: int = 0) -> list[str]:
    """The command line that runs `command` as a child that does not outlive its parent."""
    return [
        sys.executable,
        "-m",
        "annotator.common.child",
        "--nice",
        str(nice),
        "--parent",
        str(os.getpid()),
        "--",
        *command,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m annotator.common.child")
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != arguments.parent:
        sys.exit("the process that started this one is gone already")
    if arguments.nice > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, arguments.nice)
    os.execvp(arguments.command[0], arguments.command)


if __name__ == "__main__":
    main()
