"""`manage.py predict SRC --out DIR`: a folder, zip or bucket to SA-Co predictions, asked of the running ML backend."""

import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotator.common.active import concepts_active
from annotator.common.errors import RoostError
from annotator.common.forms import names_in
from annotator.data.named_sources import source_full
from annotator.data.sources import source_opened
from annotator.models import Project
from annotator.predict.journal import MANIFEST
from annotator.predict.predictions import PredictionRequest, predictions_write

LINE_EVERY_SECONDS = 10.0


class Command(BaseCommand):
    help = "Ask the running ML backend about every picture of a folder, zip or s3://bucket/prefix."

    def create_parser(self, prog_name: str, subcommand: str, **more: Any) -> CommandParser:
        """`--version` is a model's here, not Django's."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **more)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="a folder, a zip, or s3://bucket/prefix")
        parser.add_argument("--out", type=Path, required=True, help="folder for pairs, predictions and manifest")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--project", help="its concepts, and the version that it serves")
        what.add_argument("--concepts", help="noun phrases, separated by commas")
        parser.add_argument("--version", help="model version (the project's, or ROOST_DEFAULT_MODEL)")
        parser.add_argument("--threshold", type=float, default=0.5, help="least instance score, with presence (0.5)")

    def handle(self, *args: Any, **options: Any) -> None:
        self._printed_at = time.monotonic()
        before = signal.signal(signal.SIGTERM, _stop)
        try:
            counts = self._predict(source_full(options["source"]), _request(options), options["out"])["counts"]
        except RoostError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("Stopped. The same command goes on from here.") from None
        finally:
            signal.signal(signal.SIGTERM, before)
        self.stdout.write(f"{counts['images']} pictures, {counts['pairs']} pairs, {counts['instances']} instances")
        if counts["refused"]:
            self.stderr.write(f"{counts['refused']} pictures were refused; {options['out'] / MANIFEST} says why")

    def _predict(self, where: str, request: PredictionRequest, out: Path) -> dict[str, Any]:
        show = self._print_progress
        with source_opened(where) as source:
            return predictions_write(source=source, named=where, request=request, out=out, on_progress=show)

    def _print_progress(self, done: int, of: int, what: str, seconds_left: float | None) -> None:
        if time.monotonic() - self._printed_at >= LINE_EVERY_SECONDS:
            self._printed_at = time.monotonic()
            left = f", about {seconds_left:.0f} s left" if seconds_left else ""
            self.stdout.write(f"{done} of {of} {what}{left}")
            self.stdout.flush()


def _request(options: dict[str, Any]) -> PredictionRequest:
    if not 0 <= options["threshold"] <= 1:
        raise CommandError("--threshold lies between 0 and 1.")
    concepts, version = names_in(options["concepts"] or ""), settings.DEFAULT_VERSION
    if options["project"]:
        project = Project.objects.select_related("serving_version").filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        concepts, version = [row.name for row in concepts_active(project=project)], project.serving_version.name
    if not concepts:
        raise CommandError("There is nothing to look for: name concepts, or a project that has some.")
    return PredictionRequest(options["version"] or version, concepts, options["threshold"])


def _stop(*_signal: Any) -> NoReturn:
    """As Ctrl-C: what was stored for the model alone is taken out again."""
    sys.exit(143)
