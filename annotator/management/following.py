"""What commands about a project have in common: find it, start a job, follow it to its end."""

import sys
import time
from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from annotator.common.errors import RoostError
from annotator.jobs.runner import job_run
from annotator.jobs.services import job_cancel
from annotator.jobs.workers import workers_alive
from annotator.models import Job, Project

LOOK_EVERY_SECONDS = 0.5
LONGEST_LINE = 400


class ProjectCommand(BaseCommand):
    """A command about one project, done in somebody's name; a RoostError ends it with its sentence."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's short name, as in its address")
        parser.add_argument("--user", help="in whose name (default: who made the project)")
        self.add_own_arguments(parser)

    def add_own_arguments(self, parser: CommandParser) -> None:
        pass

    def handle(self, *args: Any, **options: Any) -> None:
        project = self._project(options["project"])
        try:
            self.act(project, self._user(project, options["user"]), options)
        except RoostError as error:
            raise CommandError(str(error)) from error

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        raise NotImplementedError

    def _project(self, slug: str) -> Project:
        project = Project.objects.select_related("created_by").filter(slug=slug).first()
        if project is None:
            known = ", ".join(Project.objects.values_list("slug", flat=True)) or "none yet; `manage.py demo` makes one"
            raise CommandError(f"There is no project {slug!r}. There are: {known}.")
        return project

    def _user(self, project: Project, name: str | None) -> AbstractBaseUser:
        if name is None:
            return project.created_by
        user = get_user_model().objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"There is no user {name!r}.")
        return user


class JobCommand(ProjectCommand):
    """A command that starts a job and shows its progress until it ends."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--here", action="store_true", help="do the work in this process, without a worker")
        parser.add_argument("--no-wait", action="store_true", help="queue the job and return")

    def run(self, options: dict[str, Any], start: Callable[[], Job]) -> Job:
        """Start the job and follow it; CommandError with the reason when it fails."""
        job = start()
        self.stdout.write(f"job {job.pk}: {job.get_kind_display()}")
        if options["no_wait"]:
            return job
        if options["here"]:
            self._run_here(job)
        elif not workers_alive():
            self.stderr.write("No worker runs on this machine: start `manage.py up`, or add --here. Waiting.")
        self._follow(job)
        for key, value in job.report.items():
            if value not in ({}, [], "", 0, None):
                self.stdout.write(f"  {key}: {_short(value)}")
        return job

    def _run_here(self, job: Job) -> None:
        try:
            job_run(job_id=job.pk)
        except KeyboardInterrupt:
            self._cancel(job)

    def _follow(self, job: Job) -> None:
        told = ""
        job.refresh_from_db()
        try:
            while job.state in Job.IN_FLIGHT:
                line = f"{job.progress:4.0%}  {job.message}"
                if line != told:
                    self.stdout.write(line)
                    sys.stdout.flush()
                told = line
                time.sleep(LOOK_EVERY_SECONDS)
                connection.close_if_unusable_or_obsolete()
                job.refresh_from_db()
        except KeyboardInterrupt:
            self._cancel(job)
        if job.state != Job.State.SUCCEEDED:
            raise CommandError(f"The job ended: {job.get_state_display().lower()}. {job.reason}".strip())

    def _cancel(self, job: Job) -> None:
        job_cancel(job=job, user=None)
        raise CommandError(f"Job {job.pk} is cancelled.")


def _short(value: Any) -> str:
    """The page shows a long report whole."""
    text = str(value)
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]} …"
