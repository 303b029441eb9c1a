"""`manage.py dataset list | name | diff | publish | checkout`: data versions from the command line."""

import json
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandError, CommandParser

from annotator.common.errors import RoostError
from annotator.data.data_checkout import dataset_checkout
from annotator.data.publications import publish_start
from annotator.data.snapshot_difference import KINDS, difference_plain, snapshot_called, snapshot_difference
from annotator.data.snapshot_names import changes_told, snapshot_describe, words_of
from annotator.management.following import JobCommand
from annotator.models import Project

SHORT_NAME = "the project's short name, as in its address"
COLUMN = "{:>4}  {:<28}  {:<24}  {:>10}  {:<12}  {}"


class Command(JobCommand):
    help = "List, name, compare, publish and check out data versions (snapshots)."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        listed = verbs.add_parser("list", help="the snapshots of a project, newest first")
        listed.add_argument("project", help=SHORT_NAME)
        listed.add_argument("--json", action="store_true")
        named = verbs.add_parser("name", help="give a snapshot a name, notes or a tag")
        named.add_argument("project", help=SHORT_NAME)
        named.add_argument("snapshot", help="its number or tag")
        for word in ("name", "notes", "tag"):
            named.add_argument(f"--{word}", help="'' takes it away")
        diff = verbs.add_parser("diff", help="what changed from A to B")
        diff.add_argument("before", metavar="A", help="a number or a tag")
        diff.add_argument("after", metavar="B", help="a number or a tag")
        diff.add_argument("--project", help="whose; may be left out where there is one project")
        diff.add_argument("--json", action="store_true")
        diff.add_argument("--examples", type=int, default=20, help="pairs of each kind with --json; -1: all of them")
        publish = verbs.add_parser("publish", help="into the data repository, by DVC and git, and on to the remote")
        publish.add_argument("project", help=SHORT_NAME)
        publish.add_argument("snapshot", metavar="NUMBER", help="its number or tag")
        publish.add_argument("--here", action="store_true", help="do the work in this process, without a worker")
        publish.add_argument("--no-wait", action="store_true", help="queue the job and return")
        for one in (named, publish):
            one.add_argument("--user", help="in whose name (default: who made the project)")
        checkout = verbs.add_parser("checkout", help="rebuild a published version, bit for bit")
        checkout.add_argument("tag")
        checkout.add_argument("--into", type=Path, required=True, help="an empty folder, or one that is not there yet")
        checkout.add_argument(
            "--from", dest="source", default="", help="the project's folder at the remote, or a git address"
        )
        checkout.add_argument("--project", default="", help="whose version, where --from is left out")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except RoostError as error:
            raise CommandError(str(error)) from error

    def _list(self, options: dict[str, Any]) -> None:
        rows = list(self._project(options["project"]).snapshots.all())
        fields = ("number", "name", "tag", "content_hash", "data_revision", "counts")
        if options["json"]:
            self._tell_json([{name: getattr(row, name) for name in fields} for row in rows])
            return
        self.stdout.write(COLUMN.format("", "name", "tag", "pairs", "content", "published as"))
        for row in rows:
            pairs = sum(counts.get("pairs", 0) for counts in row.counts.values())
            text = COLUMN.format(
                row.number, row.name[:28], row.tag[:24], pairs, row.content_hash[:12], row.data_revision[:12]
            )
            self.stdout.write(text.rstrip())

    def _name(self, options: dict[str, Any]) -> None:
        project, user = self._asked(options)
        snapshot = snapshot_called(project=project, called=options["snapshot"])
        words = {word: options[word] for word in ("name", "notes", "tag")}
        before = words_of(snapshot)
        snapshot_describe(snapshot=snapshot, user=user, **words)
        self.stderr.write(changes_told(snapshot=snapshot, before=before))
        self.stdout.write(f"snapshot {snapshot.number}  {snapshot.name}  {snapshot.tag}".rstrip())

    def _diff(self, options: dict[str, Any]) -> None:
        project = self._project(options["project"]) if options["project"] else self._only_project()
        before, after = (snapshot_called(project=project, called=options[key]) for key in ("before", "after"))
        examples = None if options["examples"] < 0 else options["examples"]
        found = difference_plain(snapshot_difference(before=before, after=after, examples=examples))
        if options["json"]:
            self._tell_json(found)
            return
        counts = ", ".join(f"{found['counts'][kind]:,} {kind}" for kind in (*KINDS, "same"))
        self.stdout.write(f"snapshot {before.number} to {after.number}: {counts}")
        for row in found["by_concept"]:
            self.stdout.write(f"  {row['text_input']}: {row['pairs']:,} {row['change']} ({row['verdict']})")
        for aspect, pairs in found["aspects"].items():
            self.stdout.write(f"  of the changed ones: {aspect} {pairs:,}")

    def _publish(self, options: dict[str, Any]) -> None:
        project, user = self._asked(options)
        number = snapshot_called(project=project, called=options["snapshot"]).number
        self.run(options, lambda: publish_start(project=project, user=user, number=number))

    def _checkout(self, options: dict[str, Any]) -> None:
        into = options["into"]
        done = dataset_checkout(tag=options["tag"], into=into, source=options["source"], slug=options["project"])
        self.stdout.write(f"{into}: {done.images:,} images, every file as its hash says")
        self.stdout.write(f"  content  {done.content_hash}")
        self.stdout.write(f"  revision {done.revision}")
        self.stdout.write(f"  to train on it: snapshot: {into / 'snapshot'}, images: {into / 'images'}")

    def _asked(self, options: dict[str, Any]) -> tuple[Project, AbstractBaseUser]:
        project = self._project(options["project"])
        return project, self._user(project, options["user"])

    def _only_project(self) -> Project:
        projects = list(Project.objects.all()[:2])
        if len(projects) != 1:
            raise CommandError("Say which project with --project: a snapshot's number is the project's own.")
        return projects[0]

    def _tell_json(self, content: Any) -> None:
        self.stdout.write(json.dumps(content, ensure_ascii=False, indent=1))
