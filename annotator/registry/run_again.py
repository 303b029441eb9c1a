"""Taking a run up again that failed or was cancelled: the same run, snapshot and folder, from its last checkpoint."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError
from annotator.jobs.services import job_enqueue
from annotator.models import Job, Project, TrainingRun

from .model_weights import model_folder
from .run_files import check_room


def run_can_go_on(run: TrainingRun) -> bool:
    """Ended without its version, or before the gate judged that."""
    ended_badly = run.job.state in (Job.State.FAILED, Job.State.CANCELLED)
    return ended_badly and run.gate is None


def run_go_on(*, run: TrainingRun, user: AbstractBaseUser | None) -> Job:
    """A new job for the run; the old one stays as it ended, with its log."""
    if not run_can_go_on(run):
        raise ConflictError(f"Run {run.number} has not broken off: there is nothing to go on with.", code="not_broken")
    model_folder(run.base_version)
    if run.version_id is None:
        check_room(project=run.project, version=run.base_version, config=run.config, run=run)
    with transaction.atomic():
        project = Project.objects.select_for_update().get(pk=run.project_id)
        # Only from the job that was looked at: of two who press at once, one gets through.
        job = job_enqueue(project=project, kind=Job.Kind.RETRAIN, params={"config": run.config}, created_by=user)
        if not TrainingRun.objects.filter(pk=run.pk, job_id=run.job_id).update(job=job):
            raise ConflictError(f"Somebody else has taken run {run.number} up already.", code="already_running")
        audit_record(project=project, actor=user, action="run.go_on", subject=f"run {run.number}", job=job.pk)
    return job
