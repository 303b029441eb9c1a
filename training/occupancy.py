"""One writer to a run's folder: two would mix their checkpoints and leave a model of neither.

The writer holds a lock on DIR/.lock (flock, which Linux passes on to the server of an NFS mount), and the kernel lets
go of it when the process ends, however it ends. What stands in the file is for people; the lock alone decides. The file
stays: whoever removed it could remove one that another process has just locked.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.errors import Refused

log = logging.getLogger(__name__)
NAME = ".lock"
TAKEN = (errno.EWOULDBLOCK, errno.EACCES)
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """The folder is made and is this process's inside the block; Refused `folder_in_use` names who has it already."""
    handle = _opened(folder)
    try:
        _lock(handle, folder)
        _sign(handle)
        yield
    finally:
        os.close(handle)


def check_free(folder: Path) -> None:
    """Refused as above; for a launcher, whose job will be the one that writes."""
    if (folder / NAME).exists():
        with occupied(folder):
            pass


def _opened(folder: Path) -> int:
    """Open for writing, which NFS asks of whoever wants a file for itself alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Refused(
            "bad_folder", f"The run's folder {folder} cannot be written to ({error.strerror}): choose another --out."
        ) from None


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            log.warning("%s has no locks (%s): see to it that one run alone writes there", folder, error.strerror)
            return
        if error.errno not in TAKEN:
            raise
        raise Refused(
            "folder_in_use",
            f"{folder} is being written to by {_signature(handle)}: wait for its end, or choose another --out.",
        ) from None


def _sign(handle: int) -> None:
    facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    line = json.dumps(facts).encode() + b"\n"
    os.pwrite(handle, line, 0)
    os.ftruncate(handle, len(line))


def _signature(handle: int) -> str:
    facts = _facts(handle)
    if facts is None:
        return "another process"  # which has the lock and has not signed yet
    return f"process {facts['pid']} on {facts['host']} (since {facts['since']})"


def _facts(handle: int) -> dict[str, Any] | None:
    try:
        facts = json.loads(os.pread(handle, 4096, 0))
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and {"pid", "host", "since"} <= facts.keys() else None
