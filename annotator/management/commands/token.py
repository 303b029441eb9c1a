"""`manage.py token USER`: a new API token, shown this once."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotator.people.tokens import token_create


class Command(BaseCommand):
    help = "Make an API token for a user; it is shown this once and kept as a hash."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user")
        parser.add_argument("--name", default="command line", help="what it is for")
        parser.add_argument("--quiet", action="store_true", help="print the token and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        user = get_user_model().objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user {options['user']!r}.")
        token = token_create(user=user, name=options["name"])
        if not options["quiet"]:
            self.stdout.write("Keep it; it is not shown again. Use it as `Authorization: Token …`.")
        self.stdout.write(token)
