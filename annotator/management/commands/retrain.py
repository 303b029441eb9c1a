"""`manage.py retrain PROJECT --set steps=200`: train on what is approved, then let the gate judge."""

import json
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandError, CommandParser

from annotator.management.following import JobCommand
from annotator.models import Project, TrainingRun
from annotator.registry.training_runs import retrain_start
from toolbox.training_settings import SETTABLE


class Command(JobCommand):
    help = "Train the serving model's heads on what is approved, then let the gate judge the new model."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--snapshot", type=int, help="the snapshot's number (default: a fresh one)")
        names = f"a training setting: {', '.join(sorted(SETTABLE))}"
        parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=names)
        parser.add_argument("--force", action="store_true", help="even though nothing was approved since the last run")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        config = dict(_setting(text) for text in options["set"])
        if options["snapshot"] is not None:
            config["snapshot"] = options["snapshot"]
        job = self.run(
            options,
            lambda: retrain_start(
                project=project,
                user=user,
                config=config,
                force=options["force"],
                trigger=TrainingRun.Trigger.COMMAND,
            ),
        )
        gate = getattr(job.training_run, "gate", None)
        if gate is not None:
            self.stdout.write(f"the gate: {gate.get_decision_display().lower()}. {' '.join(gate.reasons)}")


def _setting(text: str) -> tuple[str, Any]:
    """`steps=200` -> ("steps", 200); a value that is no JSON is text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--set wants NAME=VALUE, not {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
