"""`manage.py models list | show | compare | archive | …`: the registry from the command line."""

import json
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandError, CommandParser

from annotator.common.errors import RoostError
from annotator.data.snapshot_rows import snapshots_index
from annotator.management.following import ProjectCommand
from annotator.models import ModelVersion, Project
from annotator.registry.packing import version_pack, version_unpack
from annotator.registry.version_facts import (
    version_plain,
    versions_plain,
    versions_shown,
    versions_side_by_side,
)
from annotator.registry.version_keeping import version_archive, version_check, version_note
from annotator.registry.version_retention import LAST_KEPT, retention_apply, retention_forecast
from toolbox.run_size import gigabytes

COLUMN = "{:<28}  {:<22}  {:<20}  {:>6}  {:>6}  {}"


class Command(ProjectCommand):
    help = "List, show, compare, annotate, archive, check, pack and unpack model versions."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        listed = verbs.add_parser("list", help="the versions of a project, newest first")
        listed.add_argument("project", help="the project's short name, as in its address")
        listed.add_argument("--search", default="", help="words in name, notes, tag; or a hash's begin")
        listed.add_argument("--stage", default="", choices=["", *ModelVersion.Stage.values])
        listed.add_argument(
            "--archived", action="store_true", help="those that are folded away, in place of the others"
        )
        shown = self._named(verbs.add_parser("show", help="all that is known of one version"))
        shown.add_argument("--project", default="", help="of a shipped version: what this project did with it")
        self._named(verbs.add_parser("check", help="hash its weights and compare"))
        compared = verbs.add_parser("compare", help="figures and settings of two or more, side by side")
        compared.add_argument("names", nargs="+", metavar="NAME")
        archived = self._named(verbs.add_parser("archive", help="fold it away in lists; its weights stay"))
        archived.add_argument("--undo", action="store_true", help="bring it back")
        self._named(verbs.add_parser("note", help="write its notes")).add_argument("notes", help="'' takes them away")
        retained = verbs.add_parser("retain", help="which weights could go, and with --yes away with them")
        retained.add_argument("project", help="the project's short name")
        retained.add_argument("--last", type=int, default=LAST_KEPT, help="the best, all that served and so many stay")
        retained.add_argument("--yes", action="store_true", help="remove them")
        packed = self._named(verbs.add_parser("pack", help="one verified archive of it"))
        packed.add_argument("file", type=Path)
        unpacked = verbs.add_parser("unpack", help="take an archive in, as a candidate")
        unpacked.add_argument("file", type=Path)
        unpacked.add_argument("--project", required=True, help="whose version it becomes")
        unpacked.add_argument("--as", dest="name", default="", help="under another name")
        verbs.add_parser("index", help="list the answers of snapshots that are older than the list")
        for one in (listed, compared, retained, *(verbs.choices[name] for name in ("show", "check"))):
            one.add_argument("--json", action="store_true")
        for name in ("archive", "note", "retain", "unpack"):
            verbs.choices[name].add_argument("--user", help="in whose name (default: who made the project)")

    def _named(self, parser: CommandParser) -> CommandParser:
        parser.add_argument("name", metavar="NAME")
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except RoostError as error:
            raise CommandError(str(error)) from error

    def _list(self, options: dict[str, Any]) -> None:
        project = self._project(options["project"])
        rows = versions_shown(
            project=project,
            search=options["search"],
            stage=options["stage"],
            archived=options["archived"],
        )
        versions = versions_plain(project=project, versions=rows)
        if options["json"]:
            self._tell_json(versions)
            return
        self.stdout.write(COLUMN.format("version", "stage", "grew out of", "val", "held", "gate"))
        for told in versions:
            figures = (_points(told["figures"].get(split, {}).get("cgf1")) for split in ("val", "holdout"))
            line = COLUMN.format(told["name"], told["stage"], told["parent"] or "", *figures, told["decision"] or "")
            self.stdout.write(line.rstrip())

    def _show(self, options: dict[str, Any]) -> None:
        version = self._version(options["name"])
        project = self._project(options["project"]) if options["project"] else version.project
        told = version_plain(project=project, version=version)
        if options["json"]:
            self._tell_json(told)
            return
        for key, value in told.items():
            self.stdout.write(f"{key:<18}  {value if isinstance(value, str) else json.dumps(value, default=str)}")

    def _check(self, options: dict[str, Any]) -> None:
        found = version_check(version=self._version(options["name"]))
        if options["json"]:
            self._tell_json({"found": found.found, "promised": found.promised or None, "sound": found.is_sound})
        else:
            self.stdout.write(found.words)
        if not found.is_sound:
            raise CommandError(f"Don't serve {options['name']}: take it from an archive or a backup.")

    def _compare(self, options: dict[str, Any]) -> None:
        if len(set(options["names"])) < 2:
            raise CommandError("Name two versions or more.")
        told = versions_side_by_side([self._version(name) for name in options["names"]])
        if options["json"]:
            self._tell_json(told)
            return
        self.stdout.write(f"{'':<24}  " + "  ".join(f"{name:>20}" for name in told["versions"]))
        for name, values in told["figures"].items():
            self.stdout.write(f"{name:<24}  " + "  ".join(f"{_points(value):>20}" for value in values))
        for name, values in told["settings"].items():
            self.stdout.write(f"{name:<24}  " + "  ".join(f"{value!s:>20}"[:20] for value in values))

    def _archive(self, options: dict[str, Any]) -> None:
        version, project, user = self._own(options)
        version_archive(project=project, version=version, user=user, archived=not options["undo"])
        self.stdout.write(f"{version.name} is {'back in the list' if options['undo'] else 'folded away'}.")

    def _note(self, options: dict[str, Any]) -> None:
        version, project, user = self._own(options)
        version_note(project=project, version=version, user=user, notes=options["notes"])
        self.stdout.write(f"The notes of {version.name} are kept.")

    def _retain(self, options: dict[str, Any]) -> None:
        project = self._project(options["project"])
        forecast = retention_forecast(project=project, last=options["last"])
        names = [row.version.name for row in forecast.goes]
        if options["yes"]:
            user = self._user(project, options["user"])
            retention_apply(project=project, user=user, last=options["last"], expected=names)
        if options["json"]:
            rows = [{"name": row.version.name, "bytes": row.bytes, "stays": row.why or None} for row in forecast.rows]
            left = {"free_bytes": forecast.free_bytes, "days_left": forecast.days_left}
            self._tell_json({"versions": rows, "removed": options["yes"], "freed_bytes": forecast.freed_bytes, **left})
            return
        for row in forecast.rows:
            what = f"stays: {row.why}" if row.why else "removed" if options["yes"] else "would go"
            self.stdout.write(f"{row.version.name:<28}  {gigabytes(row.bytes):>9}  {what}")
        tail = "are free again" if options["yes"] else "would be free again: add --yes"
        self.stdout.write(f"{gigabytes(forecast.freed_bytes)} {tail if names else 'could go'}")

    def _pack(self, options: dict[str, Any]) -> None:
        done = version_pack(version=self._version(options["name"]), file=options["file"])
        words = f"{done.files} files, {gigabytes(done.bytes)}, weights {done.weights_hash}; read again, all as listed"
        self.stdout.write(f"{options['file']}: {done.version}, {words}")

    def _unpack(self, options: dict[str, Any]) -> None:
        project = self._project(options["project"])
        user = self._user(project, options["user"])
        version = version_unpack(project=project, file=options["file"], user=user, name=options["name"])
        self.stdout.write(f"{version.name} is a candidate of {project.name}, weights {version.weights_hash}.")

    def _index(self, options: dict[str, Any]) -> None:
        done = snapshots_index()
        for snapshot, rows in done.items():
            self.stdout.write(f"snapshot {snapshot.number} of {snapshot.project.slug}: {rows:,} pairs")
        if not done:
            self.stdout.write("every snapshot whose files are here is indexed")

    def _version(self, name: str) -> ModelVersion:
        version = ModelVersion.objects.filter(name=name).select_related("project", "parent").first()
        if version is None:
            raise CommandError(f"There is no version {name!r}; `manage.py models list PROJECT` names them.")
        return version

    def _own(self, options: dict[str, Any]) -> tuple[ModelVersion, Project, AbstractBaseUser]:
        version = self._version(options["name"])
        if version.project is None:
            raise CommandError(f"{version.name} is shipped, or shared by all projects: it stays as it is.")
        return version, version.project, self._user(version.project, options["user"])

    def _tell_json(self, content: Any) -> None:
        self.stdout.write(json.dumps(content, ensure_ascii=False, indent=1, default=str))


def _points(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f}"
