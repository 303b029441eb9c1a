"""`manage.py export PROJECT --format coco`: what is approved, as a zip."""

import shutil
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandParser

from annotator.data.exports import FORMATS, export_file, export_start
from annotator.management.following import JobCommand
from annotator.models import Image, Project


class Command(JobCommand):
    help = "Export what is approved, verified negatives included, as a zip."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=FORMATS, default="coco")
        parser.add_argument("--split", action="append", default=[], choices=Image.Split.values, help="default: all")
        parser.add_argument("--no-images", action="store_true", help="annotations alone")
        parser.add_argument("--out", type=Path, help="copy the zip to this file or folder")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        job = self.run(
            options,
            lambda: export_start(
                project=project,
                user=user,
                format=options["format"],
                splits=options["split"],
                with_images=not options["no_images"],
            ),
        )
        if options["no_wait"]:
            return
        path = export_file(job=job)
        self.stdout.write(str(shutil.copy(path, options["out"]) if options["out"] else path))
