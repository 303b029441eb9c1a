"""What jobs/ knows of the features: nothing but what each of them registers here when it is imported.

`annotator.apps` imports the registering modules once Django is ready, in every process alike.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from django.db import connection

from annotator.models import Job

from .context import JobContext

log = logging.getLogger(__name__)

Run = Callable[[JobContext], dict[str, Any] | None]
Sweep = Callable[[], list[int]]
Work = TypeVar("Work", bound=Callable[[], Any])

HOUR_SECONDS = 3600.0


@dataclass(frozen=True)
class JobKind:
    """`run` does the work; `forget` clears what a job was to read once it ends without a worker that could tidy up.

    `logs` gives (whose, path) of log files beside the worker's own.
    """

    run: Run
    queue: str = "default"
    forget: Callable[[Job], None] = lambda job: None
    logs: Callable[[Job], list[tuple[str, Path]]] = lambda job: []


KINDS: dict[str, JobKind] = {}
SWEEPS: list[Sweep] = []


def job_kind(kind: str, **more: Any) -> Callable[[Run], Run]:
    """Decorates the function that does the work of this kind; `more` as in JobKind."""

    def register(run: Run) -> Run:
        KINDS[kind] = JobKind(run, **more)
        return run

    return register


def sweep(look: Sweep) -> Sweep:
    """Decorates what every worker calls now and then; it answers with the ids of the jobs that it announced."""
    SWEEPS.append(look)
    return look


def sweep_every(seconds: float, *, apart: bool = False) -> Callable[[Work], Work]:
    """Decorates what each worker does at its first sweep and then once in so many seconds, and which announces no job.

    `apart`: on a thread of its own, for what takes long; its failure is logged, and its next turn comes as ever.
    """

    def register(work: Work) -> Work:
        SWEEPS.append(_Turns(work, seconds, apart))
        return work

    return register


class _Turns:
    """One work's turns in this process; never two of them at once."""

    def __init__(self, work: Callable[[], Any], seconds: float, apart: bool) -> None:
        self._work, self._seconds, self._apart = work, seconds, apart
        self._due_at = 0.0
        self._busy = threading.Lock()

    def __call__(self) -> list[int]:
        if time.monotonic() < self._due_at or not self._busy.acquire(blocking=False):
            return []
        self._due_at = time.monotonic() + self._seconds
        if self._apart:
            threading.Thread(target=self._do_apart, name=self._work.__name__, daemon=True).start()
        else:
            self._do()
        return []

    def _do(self) -> None:
        try:
            self._work()
        finally:
            self._busy.release()

    def _do_apart(self) -> None:
        try:
            self._do()
        except Exception:  # a worker must not fall over this
            log.exception("%s failed; its next turn comes in %.0f seconds.", self._work.__name__, self._seconds)
        finally:
            connection.close()
