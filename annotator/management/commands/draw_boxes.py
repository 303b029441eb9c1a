"""`manage.py draw_boxes PROJECT`: the serving model draws masks in imported boxes, for people to take or correct."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandError, CommandParser

from annotator.data.box_drawing import boxes_draw_start
from annotator.management.following import JobCommand
from annotator.models import Project


class Command(JobCommand):
    help = "Draw a mask in each imported box that still waits for a person; the holdout's are left to people."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--import", dest="imported", type=int, metavar="JOB", help="only the boxes of this import")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        imported = None
        if options["imported"] is not None:
            imported = project.jobs.filter(pk=options["imported"]).first()
            if imported is None:
                raise CommandError(f"There is no job {options['imported']} in {project.slug}.")
        self.run(options, lambda: boxes_draw_start(project=project, user=user, imported=imported))
