"""The product's Celery application with a job of tunable length, so that tests can kill and cancel it midway.

`celery -A tests.slow_jobs worker` runs it in place of exports; everything around the work is the real thing.
"""

import os
import time
from pathlib import Path

import django

from annotator.celery import app  # noqa: F401

django.setup()

from annotator.jobs.kinds import job_kind  # noqa: E402
from annotator.jobs.services import JobContext  # noqa: E402
from annotator.models import Job  # noqa: E402


@job_kind(Job.Kind.EXPORT)
def work(context: JobContext) -> dict:
    """params: steps of 50 ms; `log`: a file that gets one line a start and one an end; `error`: fail so."""
    params = context.job.params
    _note(params, f"start {context.job.pk} {os.getpid()}")
    if params.get("error"):
        raise ValueError(params["error"])
    for step in range(params.get("steps", 0)):
        context.progress(step / params["steps"], f"step {step}")
        time.sleep(0.05)
    _note(params, f"end {context.job.pk} {os.getpid()}")
    return {"done_by": os.getpid()}


def _note(params: dict, line: str) -> None:
    if params.get("log"):
        with Path(params["log"]).open("a") as file:
            file.write(line + "\n")
