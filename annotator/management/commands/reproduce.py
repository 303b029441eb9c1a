"""`manage.py reproduce RUN`: train a run again from what it was made of, and say whether the weights are the same."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotator.common.errors import RoostError
from annotator.management.following import ProjectCommand
from annotator.models import TrainingRun
from annotator.registry.reproduction import run_reproduce


class Command(ProjectCommand):
    help = "Train a run again in a scratch folder; exit status 1 where the weights differ."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", help="its number, or the name of the version that it made")
        parser.add_argument(
            "--project", help="whose, where a number is given; may be left out where there is one project"
        )
        parser.add_argument(
            "--keep", action="store_true", help="bring weights back that were removed, if they are the same"
        )
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = run_reproduce(run=self._run(options), keep=options["keep"], on_event=self._show)
        except RoostError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(vars(done) | {"same": done.is_same}, indent=1))
        else:
            self.stdout.write(f"{done.version}: {done.expected}\n   again: {done.found}")
            for words in done.differs:
                self.stdout.write(f"  {words}")
        if not done.is_same:
            raise CommandError(f"The weights of {done.version} are not the same. {_why(done.differs)}")
        if not done.kept_step:
            self.stdout.write("The run kept its base's weights: nothing that it learnt was better on val.")
        self.stdout.write(f"{done.losses} losses were compared, step by step.")
        self.stdout.write(f"The same weights, after {done.seconds:.0f} s{', kept' if done.kept else ''}.")

    def _run(self, options: dict[str, Any]) -> TrainingRun:
        runs = TrainingRun.objects.select_related("project", "snapshot__project", "base_version", "version__project")
        asked = options["run"]
        if not asked.isdecimal():
            found = list(runs.filter(version__name=asked))
        else:
            found = list(runs.filter(number=int(asked)))
            if options["project"]:
                found = [run for run in found if run.project_id == self._project(options["project"]).pk]
        if len(found) > 1:
            raise CommandError(f"Several projects have a run {asked}: say which with --project.")
        if not found:
            raise CommandError(f"There is no run {asked}.")
        return found[0]

    def _show(self, event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            self.stderr.write(f"{event['phase']}: {event['step']} of {event['of']}")


def _why(differs: list[str]) -> str:
    return "What differs stands above." if differs else "Nothing that was written down differs."
