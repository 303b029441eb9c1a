"""What jobs/ knows of the features: nothing but what each of them registers here when it is imported.

`annotator.apps` imports the registering modules once Django is ready, in every process alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotator.models import Job

from .context import JobContext

Run = Callable[[JobContext], dict[str, Any] | None]
Sweep = Callable[[], list[int]]


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
