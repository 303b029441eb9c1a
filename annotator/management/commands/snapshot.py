"""`manage.py snapshot PROJECT`: freeze what is approved as a data version."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandParser

from annotator.data.snapshots import snapshot_start
from annotator.management.following import JobCommand
from annotator.models import Project


class Command(JobCommand):
    help = "Freeze what is approved as an immutable, content-hashed SA-Co snapshot."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default="", help="for people: what this version is")
        parser.add_argument("--tag", default="", help="for programs, such as v1.0-baseline")
        parser.add_argument("--notes", default="")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        words = {word: options[word] for word in ("name", "notes", "tag")}
        self.run(options, lambda: snapshot_start(project=project, user=user, **words))
