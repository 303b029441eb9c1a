"""One writer to a run's folder: two would mix their checkpoints and leave a model of neither.

The writer holds a lock on DIR/.lock (flock, which Linux passes on to the server of an NFS mount), and the kernel lets
go of it when the process ends, however it ends. What stands in the file is for people; the lock alone decides. The file
stays: whoever removed it could remove one that another process has just locked.

A run that is started again may meet the trainer of its first try, which still saves what it has since whoever had
started it is gone. So the second waits, at most ROOST_FOLDER_WAIT_SECONDS, and says so, before it is refused.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.errors import Refused

log = logging.getLogger(__name__)
NAME = ".lock"
TAKEN = (errno.EWOULDBLOCK, errno.EACCES)
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
LOOK_EVERY_S = 0.2
Say = Callable[[str], None]


def _log_it(words: str) -> None:
    log.warning(words)


@contextmanager
def occupied(folder: Path, say: Say = _log_it) -> Iterator[int]:
    """The folder is made and is this process's inside the block; Refused `folder_in_use` names who has it already.

    say: told once, in a sentence, that another process has it and is waited for. What is yielded is the lock: a child
    that inherits it has the folder for as long as it lives, also when this process is killed.
    """
    handle = _opened(folder)
    try:
        _lock(handle, folder, say)
        _sign(handle)
        yield handle
    finally:
        os.close(handle)


def check_free(folder: Path, say: Say = _log_it) -> None:
    """Refused as above; for a launcher, whose job will be the one that writes."""
    if (folder / NAME).exists():
        with occupied(folder, say):
            pass


def wait_s() -> float:
    """How long a process that ends is waited for; a checkpoint of SAM 3 with its text tower takes 28 s to write."""
    given = os.environ.get("ROOST_FOLDER_WAIT_SECONDS", "120")
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise Refused("bad_setting", f"ROOST_FOLDER_WAIT_SECONDS is seconds, 0 to 86400, not {given!r}.")
    return seconds


def _opened(folder: Path) -> int:
    """Open for writing, which NFS asks of whoever wants a file for itself alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Refused(
            "bad_folder", f"The run's folder {folder} cannot be written to ({error.strerror}): choose another --out."
        ) from None


def _lock(handle: int, folder: Path, say: Say) -> None:
    until, is_told = time.monotonic() + wait_s(), False
    while not _has_locked(handle, folder):
        if time.monotonic() >= until:
            waited = f" It was waited for {wait_s():g} s." if is_told else ""
            raise Refused(
                "folder_in_use",
                f"{folder} is being written to by {_signature(handle)}.{waited} Wait for its end, or choose another "
                "--out.",
            )
        if not is_told:
            say(f"{folder} is being written to by {_signature(handle)}: its end is waited for, {wait_s():g} s at most.")
            is_told = True
        time.sleep(LOOK_EVERY_S)


def _has_locked(handle: int, folder: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            log.warning("%s has no locks (%s): see to it that one run alone writes there", folder, error.strerror)
            return True
        if error.errno in TAKEN:
            return False
        raise
    return True


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
