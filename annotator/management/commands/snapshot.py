"""`manage.py snapshot PROJECT`: freeze what is approved as a data version."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from annotator.data.snapshots import snapshot_start
from annotator.management.following import JobCommand
from annotator.models import Project


class Command(JobCommand):
    help = "Freeze what is approved as an immutable, content-hashed SA-Co snapshot."

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        self.run(options, lambda: snapshot_start(project=project, user=user))
