"""`manage.py gate PROJECT VERSION`: judge any version against the one that serves; nothing is trained."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandParser

from annotator.management.following import JobCommand
from annotator.models import Project
from annotator.registry.gating import gate_ask_of
from annotator.registry.promotion import version_named


class Command(JobCommand):
    help = "Judge any version against the one that serves, on the holdout as it is labelled now; nothing is trained."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("version", help="the version's name: trained here, imported or shipped")
        parser.add_argument("--snapshot", type=int, help="the snapshot's number (default: a fresh one)")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        version, number = version_named(project=project, name=options["version"]), options["snapshot"]
        job = self.run(options, lambda: gate_ask_of(project=project, version=version, user=user, snapshot=number))
        gate = job.gates.first()
        if gate is not None:
            self.stdout.write(f"the gate: {gate.get_decision_display().lower()}. {' '.join(gate.reasons)}")
