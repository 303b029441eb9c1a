"""What a worker process does beside its tasks: recover jobs, and write a heartbeat for `up` and `doctor`."""

import json
import logging
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import connection
from django.db.utils import DatabaseError

from toolbox.files import write_json

from . import context as job_context
from .kinds import SWEEPS

log = logging.getLogger(__name__)

SIGN_EVERY_SECONDS = 2.0
SIGN_OLD_SECONDS = 10.0


@worker_ready.connect
def _ready(sender: Any, **kwargs: Any) -> None:
    worker_started(name=str(sender.hostname))


def worker_started(*, name: str) -> None:
    """Called once a worker accepts tasks: start the sweeper and the heartbeat."""
    job_context.worker_stops.clear()
    threading.Thread(target=_look_after_jobs, args=(name,), name="sweeper", daemon=True).start()


@worker_shutting_down.connect
def _shutting_down(**kwargs: Any) -> None:
    worker_stopping()


def worker_stopping() -> None:
    """Called when a worker is told to end: its jobs stop at their next progress call and go back to the queue."""
    job_context.worker_stops.set()


def workers_alive() -> dict[str, int]:
    """{name: pid} of workers on this machine with a heartbeat in the last ten seconds."""
    signs = (json.loads(path.read_text()) for path in sorted(_signs_folder().glob("*.json")))
    return {sign["name"]: sign["pid"] for sign in signs if time.time() - sign["at"] < SIGN_OLD_SECONDS}


def _look_after_jobs(name: str) -> None:
    sweep_every = max(settings.JOB_LEASE_SECONDS / 3, 0.5)
    swept_at = 0.0
    try:
        while not job_context.worker_stops.is_set():
            _sign(name)
            if time.monotonic() - swept_at >= sweep_every:
                swept_at = time.monotonic()
                _sweep()
            job_context.worker_stops.wait(min(SIGN_EVERY_SECONDS, sweep_every))
    finally:
        _sign_path(name).unlink(missing_ok=True)
        connection.close()


def _sweep() -> None:
    try:
        rung = [job_id for sweep in SWEEPS for job_id in sweep()]
    except DatabaseError:
        log.warning("The sweeper could not read the jobs; trying again.", exc_info=True)
        connection.close()
        return
    if rung:
        log.info("announced jobs %s again", rung)


def _signs_folder() -> Path:
    return settings.VAR_DIR / "workers"


def _sign_path(name: str) -> Path:
    return _signs_folder() / f"{re.sub('[^A-Za-z0-9._@-]', '_', name)}.json"


def _sign(name: str) -> None:
    # Every few seconds, and of no use after the machine has stopped.
    write_json(_sign_path(name), {"name": name, "pid": os.getpid(), "at": time.time()}, lasting=False, alone=True)
