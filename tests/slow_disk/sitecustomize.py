"""A disk that takes its time, for a process with this folder on its PYTHONPATH: fsync of a step's file sleeps first."""

import os
import time

_fsync = os.fsync


def _slow_fsync(handle: int) -> None:
    if "/checkpoints/.step-" in os.readlink(f"/proc/self/fd/{handle}"):
        time.sleep(float(os.environ["SLOW_DISK_SECONDS"]))
    _fsync(handle)


os.fsync = _slow_fsync
