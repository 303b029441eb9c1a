"""`manage.py promote PROJECT VERSION`: let a version serve that the gate has passed."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandParser

from annotator.management.following import ProjectCommand
from annotator.models import Project
from annotator.registry.promotion import version_named, version_promote


class Command(ProjectCommand):
    help = "Let a version serve that the gate has passed."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("version", help="the version's name")
        parser.add_argument("--reason", default="", help="why, if the gate did not pass it; kept in the audit log")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        version = version_named(project=project, name=options["version"])
        deployment = version_promote(project=project, version=version, user=user, override_reason=options["reason"])
        self.stdout.write(f"{deployment.version.name} serves {project.name} now; before: {deployment.previous}.")
