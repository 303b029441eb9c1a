"""`manage.py import_data PROJECT PATH`: pictures, with whatever annotations lie beside them; or only a look."""

import json
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandError, CommandParser

from annotator.common.forms import names_in
from annotator.data.box_drawing import BOXES
from annotator.data.import_undo import import_undo_start
from annotator.data.imports import KINDS, import_start
from annotator.data.named_sources import source_full
from annotator.data.splits import DEFAULT
from annotator.management.following import JobCommand
from annotator.models import Image, Job, Project

PASSED_ON = (
    "kind",
    "split",
    "source",
    "complete",
    "exhaustive",
    "create_concepts",
    "boxes",
    "negative_of",
    "holdout_share",
    "shares",
    "dry_run",
)


class Command(JobCommand):
    help = (
        "Import pictures from a folder, zip or bucket with the annotations beside them (COCO, YOLO, LabelMe, CVAT, "
        "Label Studio, SA-Co); the files stay where they are."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", nargs="?", help="a folder or zip of this machine, or s3://bucket/prefix")
        parser.add_argument("--undo", type=int, metavar="JOB", help="undo this import instead")
        parser.add_argument("--dry-run", action="store_true", help="only tell what would be written")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument("--kind", choices=KINDS, default="auto")
        parser.add_argument("--split", choices=Image.Split.values, help="for all of them (default: the export's own)")
        parser.add_argument("--shares", default=str(DEFAULT), help="train/val/test in per cent, of what has no split")
        parser.add_argument("--source", default="", help="where they come from (default: the path's last part)")
        parser.add_argument("--holdout-share", type=float, default=0.0, help="a random share for the holdout, 0 to 1")
        parser.add_argument("--create-concepts", action="store_true", help="make concepts of classes that have none")
        parser.add_argument(
            "--class",
            dest="classes",
            action="append",
            default=[],
            metavar="CLASS=CONCEPT",
            help="which concept a class is; nothing after the = leaves it out as none of ours",
        )
        parser.add_argument(
            "--boxes",
            choices=BOXES,
            default="sketch",
            help="objects with a box and no outline: keep the boxes as sketches, or let the model draw masks in them",
        )
        parser.add_argument(
            "--negative-of",
            action="append",
            default=[],
            metavar="CONCEPT",
            help="you vouch: none of these pictures shows it (of a list alone: none that it names); may be repeated",
        )
        parser.add_argument(
            "--negatives",
            action="append",
            default=[],
            metavar="WHERE=CONCEPT",
            help="you vouch: none of the pictures of this folder or list shows it, such as 'not-chicken=chicken'; "
            "commas between concepts; a list that names the concepts itself needs no =",
        )
        parser.add_argument(
            "--complete", action="store_true", help="you vouch: of what is outlined in a picture, all is"
        )
        parser.add_argument(
            "--exhaustive",
            action="store_true",
            help="you vouch: besides, every picture was checked for every class; what is not outlined is not there",
        )

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        told = self.stdout
        if options["json"]:
            self.stdout = self.stderr  # so that what is printed is JSON alone
        if options["undo"] is not None:
            imported = project.jobs.filter(pk=options["undo"]).first()
            if imported is None:
                raise CommandError(f"There is no job {options['undo']} in {project.slug}.")
            job = self.run(options, lambda: import_undo_start(job=imported, user=user))
        else:
            job = self.run(options, self._import(project, user, options))
            if "drawing" in job.report:
                self._follow_drawing(project.jobs.get(pk=job.report["drawing"]), options)
        if options["json"]:
            told.write(json.dumps(job.report, ensure_ascii=False, indent=1))

    def _follow_drawing(self, drawing: Job, options: dict[str, Any]) -> None:
        """The import itself is done, whatever becomes of this."""
        try:
            self.run(options, lambda: drawing)
        except CommandError as error:
            again = f"manage.py draw_boxes {drawing.project.slug} --import {drawing.params['import']}"
            self.stderr.write(f"The import is done; its boxes are not all drawn. {error} To ask again: {again}")

    def _import(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> Any:
        if not options["path"]:
            raise CommandError("Name a folder, a zip or s3://bucket/prefix to import.")
        if wrong := [text for text in options["classes"] if "=" not in text]:
            raise CommandError(f"{wrong[0]!r} says no concept; write --class 'fuse neutrals=fuse neutral'.")
        classes = dict(text.split("=", 1) for text in options["classes"])
        wishes = {name: options[name] for name in PASSED_ON}
        wishes["negatives"] = dict(_negatives(text) for text in options["negatives"])
        place = source_full(options["path"])
        return lambda: import_start(project=project, user=user, upload_path=place, classes=classes, **wishes)


def _negatives(text: str) -> tuple[str, list[str]]:
    """«not-chicken=chicken, hen» -> (not-chicken, [chicken, hen])."""
    where, equals, names = text.rpartition("=")
    return (where, names_in(names)) if equals else (text, [])
