"""`manage.py evaluate PROJECT VERSION --split test`: measure any version on a split of a snapshot."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandParser

from annotator.management.following import JobCommand
from annotator.models import Project
from annotator.registry.evaluating import SPLITS, evaluation_ask
from annotator.registry.evaluation_page import verdict_of
from annotator.registry.promotion import version_named
from toolbox.presets import PRESETS


class Command(JobCommand):
    help = "Measure any version on a split of a frozen snapshot. On the holdout it counts as a look."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("version", help="the version's name: trained here, imported or shipped")
        parser.add_argument("--snapshot", type=int, help="the snapshot's number (default: a fresh one)")
        parser.add_argument("--split", choices=[str(split) for split in SPLITS], default="holdout")
        parser.add_argument("--preset", choices=sorted(PRESETS), default="", help="what for (default: the project's)")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        version = version_named(project=project, name=options["version"])
        asked = {name: options[name] for name in ("snapshot", "split", "preset")}
        job = self.run(options, lambda: evaluation_ask(project=project, version=version, user=user, **asked))
        evaluation = job.evaluations.first()
        if evaluation is not None and (verdict := verdict_of(evaluation)) is not None:
            self.stdout.write(verdict.sentence)
