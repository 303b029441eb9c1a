"""`manage.py doctor`: is everything here that Roost needs, and does it run? Exit status 1 if not."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotator.operations.doctor import diagnose

SIGNS = {True: "✓", False: "✗", None: "–"}


class Command(BaseCommand):
    help = "Check the installation and what runs; says what to do about each fault."
    requires_system_checks: list = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--setup", action="store_true", help="the installation alone, not what should be running")

    def handle(self, *args: Any, **options: Any) -> None:
        bad = 0
        for finding in diagnose(running=not options["setup"]):
            bad += finding.good is False
            self.stdout.write(f"{SIGNS[finding.good]} {finding.name:<18} {finding.words}")
        if bad:
            self.stdout.write(f"\n{bad} to fix.")
            sys.exit(1)
