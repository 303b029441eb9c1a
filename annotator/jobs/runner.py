"""Running one job: take its row, do the work of its kind, write down how it ended."""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now

from annotator.common.database_trouble import database_trouble
from annotator.common.errors import JobCancelled, RoostError
from annotator.models import Job

from .context import JobContext
from .kinds import KINDS
from .log import job_log

log = logging.getLogger(__name__)

BUG = "Roost failed in a way it did not foresee ({error}). The job's log has the details; start the job again."


def job_run(*, job_id: int) -> bool:
    """Run the job if nobody else does; False when there was nothing to do."""
    job = job_take(job_id=job_id)
    if job is None:
        return False
    with job_log(job):
        log.info("job %s (%s) begins, attempt %s", job.pk, job.kind, job.attempt)
        with JobContext(job) as context:
            state, fields = _outcome(context, KINDS[job.kind].run)
            context.close(state, report=job.report, **fields)
        job.refresh_from_db()
        log.info("job %s (%s): %s %s", job.pk, job.kind, job.state, job.reason)
    return True


def job_take(*, job_id: int) -> Job | None:
    """Own the row if it waits or its last owner's lease ran out; the filtered UPDATE lets one caller through."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}:{uuid.uuid4().hex[:8]}"
    free = Q(state=Job.State.QUEUED) | Q(
        state=Job.State.RUNNING, lease_until__lt=Now(), attempt__lt=F("max_attempts"), cancel_requested=False
    )
    taken = Job.objects.filter(free, pk=job_id).update(
        state=Job.State.RUNNING,
        owner=owner,
        attempt=F("attempt") + 1,
        lease_until=Now() + timedelta(seconds=settings.JOB_LEASE_SECONDS),
        started_at=Now(),
    )
    if not taken:
        return None
    return Job.objects.select_related("project", "created_by").filter(pk=job_id, owner=owner).first()


def _outcome(context: JobContext, work: Callable[[JobContext], dict | None]) -> tuple[str, dict]:
    """How the work ended: its new state and the fields that go with it."""
    try:
        context.job.report = {**context.job.report, **(work(context) or {})}
    except JobCancelled:
        return _stopped(context)
    except RoostError as error:
        log.warning("job %s failed: %s", context.job.pk, error)
        return Job.State.FAILED, {"reason": str(error)}
    except Exception as error:
        if database_trouble(error):
            raise  # Leave the row as it is: when its lease ends, a worker starts the job again.
        log.exception("job %s failed", context.job.pk)
        return Job.State.FAILED, {"reason": BUG.format(error=f"{type(error).__name__}: {error}"[:300])}
    return Job.State.SUCCEEDED, {"progress": 1.0}


def _stopped(context: JobContext) -> tuple[str, dict]:
    if context.stop_reason == "worker stops":
        # Not a failure of the job: the next worker starts it again, and no attempt is counted.
        return Job.State.QUEUED, {"attempt": F("attempt") - 1, "message": "Waiting for a worker to go on"}
    return Job.State.CANCELLED, {"message": "Cancelled", "cancel_requested": True}
