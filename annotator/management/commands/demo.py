"""`manage.py demo`: make the demo project "Barn" with its people, unless it is there."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from annotator.operations.demo import DemoSize, demo_create, logins_path


class Command(BaseCommand):
    help = 'Make the demo project "Barn" with drawn scenes and three users; does nothing when it exists.'

    def add_arguments(self, parser: CommandParser) -> None:
        default = DemoSize()
        parser.add_argument("--easy", type=int, default=default.unlabelled_easy, help="unlabelled easy scenes")
        parser.add_argument("--hard", type=int, default=default.unlabelled_hard, help="unlabelled hard scenes")
        parser.add_argument("--approved", type=int, default=default.approved_easy, help="approved easy scenes")
        parser.add_argument("--holdout", type=int, default=default.holdout_a_domain, help="holdout scenes a domain")
        parser.add_argument("--seed", type=int, default=default.seed)
        parser.add_argument("--migrate", action="store_true", help="set up the database first")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["migrate"]:
            call_command("migrate", verbosity=0)
        size = DemoSize(options["easy"], options["hard"], options["approved"], options["holdout"], options["seed"])
        _, is_new = demo_create(size=size, say=self.stdout.write)
        if not is_new:
            self.stdout.write(f"The demo project exists; its log-ins are in {logins_path()}.")
