"""`manage.py groups PROJECT`: find the scenes of images that came before scenes were looked for; nothing is moved."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from annotator.data.scenes_job import scenes_start
from annotator.management.following import JobCommand
from annotator.models import Project


class Command(JobCommand):
    help = "Compare all images and note which show the same scene; nothing is moved."

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        self.run(options, lambda: scenes_start(project=project, user=user))
