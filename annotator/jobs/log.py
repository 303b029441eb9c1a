"""What a worker says while it is on a job, kept in a file of the job's own, so that its page can show it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from annotator.models import Job

from .log_page import job_log_path

LINE = "%(asctime)s %(levelname)s %(message)s"


@contextmanager
def job_log(job: Job) -> Iterator[None]:
    """Append what this thread logs; a worker runs several jobs at once, each in a thread."""
    path, thread = job_log_path(job), threading.get_ident()
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter(LINE))
    handler.addFilter(lambda record: record.thread == thread)
    ours = logging.getLogger("annotator")
    ours.setLevel(min(ours.level or logging.INFO, logging.INFO))
    ours.addHandler(handler)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        handler.close()
