"""What a job's own code sees of its row, and the thread that keeps the row's lease alive."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.db.utils import DatabaseError

from annotator.common.errors import JobCancelled
from annotator.models import Job

log = logging.getLogger(__name__)

PROGRESS_EVERY_SECONDS = 1.0
# The same for the log, which is kept.
TELL_EVERY_SECONDS = 10.0
# Set when this worker process shuts down: its jobs stop, and go back to the queue.
worker_stops = threading.Event()


class JobContext:
    """A running job. `progress` and `report` write only while this attempt owns the row."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.stop_reason = ""
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._last_actions: list[Callable[[], None]] = []
        self._written_at = self._told_at = 0.0
        self._began_at = time.monotonic()
        self._thread = threading.Thread(target=self._keep_lease, name=f"lease of job {job.pk}", daemon=True)

    def __enter__(self) -> "JobContext":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def progress(self, fraction: float, message: str = "", eta_seconds: float | None = None) -> None:
        """Show how far the job is, at most once a second; JobCancelled once it should stop."""
        if self.should_stop():
            raise JobCancelled(self.stop_reason)
        if time.monotonic() - self._written_at < PROGRESS_EVERY_SECONDS and fraction < 1:
            return
        self._written_at = time.monotonic()
        self._write(progress=min(max(fraction, 0.0), 1.0), message=message[:300], eta_seconds=eta_seconds)
        if time.monotonic() - self._told_at >= TELL_EVERY_SECONDS and message:
            self._told_at = time.monotonic()
            log.info("%3.0f %%  %s", 100 * fraction, message)

    def tell(self, message: str) -> None:
        """What is still done though the job should stop; raises nothing."""
        self.owned().update(message=message[:300])

    def progress_of(self, done: int, total: int, what: str) -> None:
        """Progress as a count of equal pieces; the time left is estimated from the speed so far."""
        elapsed = time.monotonic() - self._began_at
        eta_seconds = elapsed * (total - done) / done if done else None
        self.progress(done / max(total, 1), f"{done} of {total} {what}", eta_seconds)

    def pause(self, seconds: float, show: Callable[[], None]) -> None:
        """Wait, as whatever `show` says by `progress` meanwhile; JobCancelled once the job should stop."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            show()
            time.sleep(0.5)

    def report(self, **entries: Any) -> None:
        """Add to what came of the job; shown while it runs, kept when it ends."""
        self.job.report = {**self.job.report, **entries}
        self._write(report=self.job.report)

    def should_stop(self) -> bool:
        if worker_stops.is_set() and not self._stop.is_set():
            self._ask_to_stop("worker stops")
        return self._stop.is_set()

    def when_ended(self, action: Callable[[], None]) -> None:
        """Run this once the row is closed, and not before: if the worker dies, the next one still needs the files."""
        self._last_actions.append(action)

    def close(self, state: str, **fields: Any) -> None:
        """Store how this attempt ended, unless another attempt owns the job by now."""
        ended = state != Job.State.QUEUED
        if ended:
            fields["finished_at"] = Now()
        if self.owned().update(state=state, lease_until=None, eta_seconds=None, **fields) and ended:
            for action in self._last_actions:
                action()

    def owned(self) -> QuerySet[Job]:
        """The row, as long as this attempt owns it: nobody cancels, ends or overwrites another attempt's work."""
        return Job.objects.filter(
            pk=self.job.pk, owner=self.job.owner, attempt=self.job.attempt, state=Job.State.RUNNING
        )

    def _write(self, **fields: Any) -> None:
        if not self.owned().update(**fields):
            self._ask_to_stop("lost")
            raise JobCancelled(self.stop_reason)

    def _ask_to_stop(self, reason: str) -> None:
        self.stop_reason = self.stop_reason or reason
        self._stop.set()

    def _keep_lease(self) -> None:
        """Renew the lease three times per lease period, and check whether somebody cancelled."""
        try:
            while not self._ended.wait(min(settings.JOB_LEASE_SECONDS / 3, 2.0)):
                self._renew()
        finally:
            connection.close()

    def _renew(self) -> None:
        lease = timedelta(seconds=settings.JOB_LEASE_SECONDS)
        try:
            renewed = self.owned().update(lease_until=Now() + lease)
            cancelled = self.owned().filter(cancel_requested=True).exists()
        except DatabaseError:
            log.warning("Could not renew the lease of job %s; trying again.", self.job.pk, exc_info=True)
            connection.close()
            return
        if not renewed and not self._ended.is_set():
            self._ask_to_stop("lost")
        elif cancelled:
            self._ask_to_stop("cancelled")
