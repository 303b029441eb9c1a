"""`manage.py mine PROJECT`: score every unseen pair and choose the queue afresh."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from annotator.management.following import JobCommand
from annotator.models import Project
from annotator.queue.mining import mining_start


class Command(JobCommand):
    help = "Score every unseen pair with the serving model and choose the queue afresh."

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        self.run(options, lambda: mining_start(project=project, user=user))
