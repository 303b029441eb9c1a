"""`manage.py label_studio PROJECT --link 3`, `--pull`, `--unlink`: the bond to a project in Label Studio."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandParser

from annotator.label_studio.links import link_create, link_of, link_remove, pull_start
from annotator.label_studio.selectors import LinkCard, link_card
from annotator.management.following import JobCommand
from annotator.models import Project


class Command(JobCommand):
    help = "Link a project to one of Label Studio's, pull what was annotated there, or undo the link."

    def add_own_arguments(self, parser: CommandParser) -> None:
        action = parser.add_mutually_exclusive_group()
        action.add_argument("--link", type=int, metavar="NUMBER", help="Label Studio's number of the project")
        action.add_argument("--pull", action="store_true", help="look at every task there; what is here is not doubled")
        action.add_argument("--unlink", action="store_true", help="pull no more; the answers stay")
        parser.add_argument("--author", help="member on whom unknown authors' answers are booked (default: --user)")
        parser.add_argument("--exhaustive", action="store_true", help="what is not annotated is not in the image")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        if options["pull"]:
            self.run(options, lambda: pull_start(project=project, user=user))
            return
        if options["unlink"]:
            link_remove(project=project, user=user)
            self.stdout.write("Unlinked; the answers stay.")
            return
        if options["link"] is not None:
            author = self._user(project, options["author"]) if options["author"] else user
            exhaustive = options["exhaustive"]
            link_create(project=project, user=user, number=options["link"], author=author, exhaustive=exhaustive)
        link_of(project)
        card = link_card(project=project)
        assert card is not None
        self._tell(card)

    def _tell(self, card: LinkCard) -> None:
        self.stdout.write(f"linked to Label Studio's project {card.link.number}, «{card.link.title}»")
        for label, concept in card.mapped:
            self.stdout.write(f"  {label}: {concept.name}")
        for label in card.unmapped:
            self.stdout.write(f"  {label}: no concept or synonym is called so, its masks are left out")
