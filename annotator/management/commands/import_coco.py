"""`manage.py import_coco PROJECT PATH`: import a COCO or Roboflow export: a zip, a folder or a bucket."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandParser

from annotator.management.following import JobCommand
from annotator.models import Image, Project
from annotator.services.imports import import_start
from annotator.services.named_sources import source_full


class Command(JobCommand):
    help = "Import a COCO or Roboflow export (zip, folder, bucket) with its masks; splits are kept unless --split says."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", help="a folder or zip of this machine, or s3://bucket/prefix")
        parser.add_argument("--split", choices=Image.Split.values, help="for all of them (default: the export's own)")
        parser.add_argument("--source", default="", help="where they come from (default: the path's last part)")
        parser.add_argument("--holdout-share", type=float, default=0.0, help="a random share for the holdout, 0 to 1")
        parser.add_argument("--create-concepts", action="store_true", help="make concepts of categories that have none")
        parser.add_argument(
            "--exhaustive",
            action="store_true",
            help="every image was fully checked for every category: what is not annotated is not there",
        )

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        self.run(
            options,
            lambda: import_start(
                project=project,
                user=user,
                upload_path=source_full(options["path"]),
                kind="coco",
                split=options["split"],
                source=options["source"],
                exhaustive=options["exhaustive"],
                create_concepts=options["create_concepts"],
                holdout_share=options["holdout_share"],
            ),
        )
