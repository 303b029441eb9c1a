"""`manage.py clean_runs`: what every worker does once an hour; with --all also what runs could go on from."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotator.registry.run_retention import runs_tidy
from toolbox.run_size import gigabytes


class Command(BaseCommand):
    help = "Remove the checkpoints that ended runs need no more, and cached features over their budget."

    def add_arguments(self, parser: CommandParser) -> None:
        words = "also checkpoints that failed and cancelled runs could go on from, and every feature no snapshot needs"
        parser.add_argument("--all", action="store_true", help=words)

    def handle(self, *args: Any, **options: Any) -> None:
        gone = runs_tidy(all_of_them=options["all"])
        self.stdout.write(f"{gigabytes(gone)} removed" if gone else "nothing to remove")
