"""Background work as rows: enqueue, cancel, sweep. The broker only wakes a worker; the row is the truth."""

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from annotator.celery import app
from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, JobCancelled
from annotator.models import Job, Project

from .context import JobContext
from .kinds import KINDS, sweep

__all__ = ["JobCancelled", "JobContext", "job_cancel", "job_enqueue", "job_ring", "jobs_sweep"]

log = logging.getLogger(__name__)

# The task of tasks.py by its name: whoever announces a job needs no worker's code.
RUN_JOB = "roost.run_job"
DIED = "The worker died {attempts} times while it was on this job. See the worker's log, then start the job again."


def job_enqueue(
    *, project: Project, kind: str, params: dict[str, Any] | None = None, created_by: AbstractBaseUser | None = None
) -> Job:
    """A waiting job, announced to the workers once the transaction commits; 409 if its kind is already under way."""
    try:
        with transaction.atomic():
            # A change of concepts locks the project's row, so a job starts before the change or after it, never in
            # between.
            Project.objects.select_for_update().only("pk").get(pk=project.pk)
            job = Job.objects.create(project=project, kind=kind, params=params or {}, created_by=created_by)
            audit_record(project=project, actor=created_by, action=f"job.{kind}", subject=f"job {job.pk}")
    except IntegrityError as error:
        words = f"This project already has a job «{Job.Kind(kind).label}» under way; wait for it or cancel it."
        raise ConflictError(words, code="already_running") from error
    transaction.on_commit(lambda: job_ring(job_id=job.pk, kind=kind))
    return job


def job_ring(*, job_id: int, kind: str) -> bool:
    """Announce the job to the workers. If the broker is down no job is lost: the sweeper announces it again."""
    try:
        app.send_task(RUN_JOB, [job_id], queue=KINDS[kind].queue)
    except Exception:  # whatever a broker's client raises
        log.warning(
            "Could not announce job %s to the broker; the sweeper will announce it again.", job_id, exc_info=True
        )
        return False
    return True


def job_cancel(*, job: Job, user: AbstractBaseUser | None) -> Job:
    """A waiting job ends at once; a running one is asked to stop, which takes some seconds."""
    mine = Job.objects.filter(pk=job.pk)
    with transaction.atomic():
        ended = mine.filter(state=Job.State.QUEUED).update(
            state=Job.State.CANCELLED, cancel_requested=True, finished_at=Now(), message="Cancelled before it began"
        )
        asked = not ended and mine.filter(state=Job.State.RUNNING).update(cancel_requested=True)
        if ended or asked:
            audit_record(project=job.project, actor=user, action="job.cancel", subject=f"job {job.pk}", kind=job.kind)
    if ended:
        KINDS[job.kind].forget(job)
    job.refresh_from_db()
    if not (ended or asked):
        raise ConflictError(f"This job has already ended: {job.get_state_display().lower()}.", code="already_ended")
    return job


@sweep
def jobs_sweep() -> list[int]:
    """Recover jobs whose worker died or whose message was lost; fail those that killed every worker."""
    lease = timedelta(seconds=settings.JOB_LEASE_SECONDS)
    lapsed = Job.objects.filter(state=Job.State.RUNNING, lease_until__lt=Now())
    for job in lapsed.filter(Q(cancel_requested=True) | Q(attempt__gte=F("max_attempts"))):
        if job.cancel_requested:
            end: dict[str, Any] = {"state": Job.State.CANCELLED, "message": "Cancelled"}
        else:
            end = {"state": Job.State.FAILED, "reason": DIED.format(attempts=job.attempt)}
        if lapsed.filter(pk=job.pk, attempt=job.attempt).update(finished_at=Now(), lease_until=None, **end):
            KINDS[job.kind].forget(job)
    lapsed.update(state=Job.State.QUEUED, lease_until=Now(), message="Its worker died; waiting for another")
    rung = []
    # A waiting job's lease_until is when to announce it next, so that a long queue is not announced over and over.
    unheard = Q(lease_until__isnull=True, created_at__lt=Now() - lease) | Q(lease_until__lte=Now())
    for job in Job.objects.filter(unheard, state=Job.State.QUEUED):
        if not Job.objects.filter(unheard, pk=job.pk, state=Job.State.QUEUED).update(lease_until=Now() + 10 * lease):
            continue  # Another sweeper or a worker has it already.
        if not job_ring(job_id=job.pk, kind=job.kind):
            Job.objects.filter(pk=job.pk, state=Job.State.QUEUED).update(lease_until=Now())
            break
        rung.append(job.pk)
    return rung
