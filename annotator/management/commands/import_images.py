"""`manage.py import_images PROJECT PATH`: import images from a folder or zip of this machine, or a bucket."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandParser

from annotator.data.imports import import_start
from annotator.data.named_sources import source_full
from annotator.data.splits import DEFAULT
from annotator.management.following import JobCommand
from annotator.models import Image, Project


class Command(JobCommand):
    help = "Import images from a folder or zip of this machine, or a bucket; the files stay where they are."
    kind, default_split = "images", "by hash"
    passed_on: tuple[str, ...] = ("split", "source", "holdout_share", "shares")

    def add_own_arguments(self, parser: CommandParser) -> None:
        splits = f"for all of them (default: {self.default_split})"
        parser.add_argument("path", help="a folder or zip of this machine, or s3://bucket/prefix")
        parser.add_argument("--split", choices=Image.Split.values, help=splits)
        parser.add_argument("--shares", default=str(DEFAULT), help="of train/val/test where no split is told: 80/10/10")
        parser.add_argument("--source", default="", help="where they come from (default: the path's last part)")
        parser.add_argument("--holdout-share", type=float, default=0.0, help="a random share for the holdout, 0 to 1")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        wishes = {name: options[name] for name in self.passed_on}
        place = source_full(options["path"])
        self.run(
            options,
            lambda: import_start(project=project, user=user, upload_path=place, kind=self.kind, **wishes),
        )
