"""`manage.py import_coco PROJECT PATH`: import a COCO or Roboflow export: a zip, a folder or a bucket."""

from django.core.management.base import CommandParser

from . import import_images


class Command(import_images.Command):
    help = "Import a COCO or Roboflow export (zip, folder, bucket) with its masks; splits are kept unless --split says."
    kind, default_split = "coco", "the export's own"
    passed_on = (*import_images.Command.passed_on, "create_concepts", "exhaustive")

    def add_own_arguments(self, parser: CommandParser) -> None:
        super().add_own_arguments(parser)
        parser.add_argument("--create-concepts", action="store_true", help="make concepts of categories that have none")
        parser.add_argument(
            "--exhaustive",
            action="store_true",
            help="every image was fully checked for every category: what is not annotated is not there",
        )
