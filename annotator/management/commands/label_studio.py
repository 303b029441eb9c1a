"""`manage.py label_studio PROJECT --link 3`, `--pull`, `--push 3`, `--unlink`: the bond to one in Label Studio."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandParser

from annotator.label_studio.links import link_create, link_of, link_remove, pull_start
from annotator.label_studio.push import push_start
from annotator.label_studio.selectors import LinkCard, link_card
from annotator.management.following import JobCommand
from annotator.models import Image, Project


class Command(JobCommand):
    help = "Link a project to one of Label Studio's, pull what was annotated there, push what is settled, or unlink."

    def add_own_arguments(self, parser: CommandParser) -> None:
        action = parser.add_mutually_exclusive_group()
        action.add_argument("--link", type=int, metavar="NUMBER", help="Label Studio's number of the project")
        action.add_argument("--pull", action="store_true", help="look at every task there; what is here is not doubled")
        words = "send what is settled into this project there; what is there is not doubled"
        action.add_argument("--push", type=int, metavar="NUMBER", help=words)
        action.add_argument("--push-new", metavar="TITLE", help="send it into a new project, called so")
        action.add_argument("--unlink", action="store_true", help="pull no more; the answers stay")
        parser.add_argument("--author", help="member on whom unknown authors' answers are booked (default: --user)")
        parser.add_argument("--snapshot", type=int, metavar="NUMBER", help="push this version (default: settled now)")
        parser.add_argument("--split", action="append", default=[], choices=Image.Split.values, help="push it alone")
        parser.add_argument("--as-predictions", action="store_true", help="push proposals, no finished annotations")
        parser.add_argument("--exhaustive", action="store_true", help="what is not annotated is not in the image")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        if options["pull"]:
            self.run(options, lambda: pull_start(project=project, user=user))
            return
        if options["push"] is not None or options["push_new"] is not None:
            self._push(project, user, options)
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

    def _push(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        self.run(
            options,
            lambda: push_start(
                project=project,
                user=user,
                number=options["push"],
                title=options["push_new"] or "",
                snapshot=options["snapshot"],
                splits=options["split"],
                as_predictions=options["as_predictions"],
            ),
        )

    def _tell(self, card: LinkCard) -> None:
        self.stdout.write(f"linked to Label Studio's project {card.link.number}, «{card.link.title}»")
        for label, concept in card.mapped:
            self.stdout.write(f"  {label}: {concept.name}")
        for label in card.unmapped:
            self.stdout.write(f"  {label}: no concept or synonym is called so, its masks are left out")
