"""What a retrain would need of the training machine's card, asked of the trainer before anything is spent.

The plan is made where training runs, by the trainer's own command as a child: no page imports torch.
"""

import json
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser

from annotator.jobs.kinds import job_kind
from annotator.jobs.selectors import newest_job
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Job, Project

from .model_weights import model_folder
from .trainer_process import TrainerError, run_trainer
from .training_runs import check_config

TOO_LITTLE = "too_little_memory"


def memory_plan_start(*, project: Project, user: AbstractBaseUser | None, config: dict[str, Any]) -> Job:
    """Ask for a plan of a run with these settings; the answer is the job's report."""
    config = {name: value for name, value in config.items() if name != "snapshot"}
    check_config(config)
    return job_enqueue(project=project, kind=Job.Kind.MEMORY_PLAN, params={"config": config}, created_by=user)


@job_kind(Job.Kind.MEMORY_PLAN, queue="training")
def memory_plan_run(context: JobContext) -> dict[str, Any]:
    """The trainer's plan.json; a run that would not fit is an answer too, and no failure."""
    project = Project.objects.select_related("serving_version").get(pk=context.job.project_id)
    given = {"base_model": str(model_folder(project.serving_version)), "kept_free_mib": settings.SERVING_GPU_MB}
    config = given | context.job.params["config"]
    out = settings.RUNS_DIR / "plans" / project.slug
    try:
        return run_trainer("plan", config, out, should_stop=context.should_stop)
    except TrainerError as error:
        if error.code != TOO_LITTLE:
            raise
        plan: dict[str, Any] = json.loads((out / "plan.json").read_text())
        return plan


def memory_plan_newest(*, project: Project) -> Job | None:
    return newest_job(project=project, kind=Job.Kind.MEMORY_PLAN)
