"""The one Celery task: a message carries a job's id and no more."""

from celery import shared_task

from .runner import job_run


@shared_task(name="roost.run_job", ignore_result=True)
def run_job(job_id: int) -> None:
    """Run the job if its row is free; a duplicate or late message does nothing."""
    job_run(job_id=job_id)
