"""`manage.py export PROJECT --format coco`: what is approved, as a zip, or in a folder or bucket."""

import shutil
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandParser

from annotator.data.exports import BOXES, FORMATS, MASKS, export_file, export_start
from annotator.data.named_sources import source_full
from annotator.management.following import JobCommand
from annotator.models import Image, Project


class Command(JobCommand):
    help = "Export what is approved, verified negatives included, as a zip."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=FORMATS, default="coco")
        parser.add_argument("--split", action="append", default=[], choices=Image.Split.values, help="default: all")
        parser.add_argument("--no-images", action="store_true", help="annotations alone")
        parser.add_argument("--masks", choices=MASKS, default=MASKS[0], help="COCO's masks")
        parser.add_argument("--boxes", choices=BOXES, default=BOXES[0], help="SA-Co's boxes: shares of the size, or px")
        parser.add_argument("--snapshot", type=int, metavar="NUMBER", help="of this version (default: settled now)")
        parser.add_argument("--concept", action="append", default=[], help="this concept alone; may be repeated")
        parser.add_argument("--with-retired", action="store_true", help="retired concepts, too")
        words = "pictures in which a concept is open, too; it stays unknown there (not for YOLO)"
        parser.add_argument("--include-unlooked", action="store_true", help=words)
        parser.add_argument("--out", type=Path, help="copy the zip to this file or folder")
        parser.add_argument("--to", default="", help="write the files to a new folder or s3://bucket/prefix; no zip")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        job = self.run(
            options,
            lambda: export_start(
                project=project,
                user=user,
                format=options["format"],
                splits=options["split"],
                with_images=not options["no_images"],
                with_retired=options["with_retired"],
                masks=options["masks"],
                boxes=options["boxes"],
                snapshot=options["snapshot"],
                concepts=options["concept"],
                include_unlooked=options["include_unlooked"],
                to=source_full(options["to"]) if options["to"] else "",
            ),
        )
        if options["no_wait"] or options["to"]:
            return
        path = export_file(job=job)
        self.stdout.write(str(shutil.copy(path, options["out"]) if options["out"] else path))
