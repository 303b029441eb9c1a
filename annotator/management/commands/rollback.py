"""`manage.py rollback PROJECT`: back to the version that served before."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from annotator.management.following import ProjectCommand
from annotator.models import Project
from annotator.registry.promotion import version_rollback


class Command(ProjectCommand):
    help = "Back to the version that served before the last promotion."

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        deployment = version_rollback(project=project, user=user)
        self.stdout.write(f"{deployment.version.name} serves {project.name} again.")
