"""`manage.py splits PROJECT`: how the splits lie, whether scenes cross them, and what mends that."""

import json
from dataclasses import asdict
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandError, CommandParser

from annotator.data.hard_negatives import hard_negatives_hold
from annotator.data.split_moves import splits_mend
from annotator.data.split_shares import splits_reassign
from annotator.data.splits import shares_named
from annotator.data.splits_page import splits_report
from annotator.management.following import ProjectCommand
from annotator.models import Project


class Command(ProjectCommand):
    help = "Show how images and settled pairs lie in the splits; --check fails where a scene lies in several."

    def add_own_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--check", action="store_true", help="end with an error where a scene lies in several splits")
        what.add_argument("--mend", action="store_true", help="move each such scene to the split that judges most")
        what.add_argument("--reassign", metavar="80/10/10", help="share out anew: train/val/test; the holdout stays")
        what.add_argument("--hard-negatives", type=int, metavar="N", help="keep N verified negatives for the holdout")
        parser.add_argument("--force", action="store_true", help="with --mend: also what training or the gate has read")
        parser.add_argument("--json", action="store_true", help="answer as JSON")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        done = self._act(project, user, options)
        report = {**done, **splits_report(project=project)}
        self.stdout.write(json.dumps(report) if options["json"] else _lines(report))
        if options["check"] and report["crossing"]:
            raise CommandError(
                f"{report['crossing']} scenes lie in several splits; `manage.py splits --mend` moves them."
            )

    def _act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> dict[str, Any]:
        if options["mend"]:
            return {"mended": asdict(splits_mend(project=project, user=user, force=options["force"]))}
        if options["reassign"]:
            shares = shares_named(options["reassign"])
            return {"reassigned": asdict(splits_reassign(project=project, user=user, shares=shares))}
        if options["hard_negatives"] is not None:
            moved = hard_negatives_hold(project=project, user=user, count=options["hard_negatives"])
            return {"held": asdict(moved)}
        return {}


def _lines(report: dict[str, Any]) -> str:
    scenes = report["scenes"]
    lines = [f"{scenes['images']} images, {scenes['scenes']} scenes, {report['crossing']} in several splits"]
    if scenes["unknown"]:
        lines.append(f"{scenes['unknown']} images were never compared: run `manage.py groups` first")
    for key in ("mended", "reassigned", "held"):
        if key in report:
            lines.append(f"{key}: " + ", ".join(f"{name} {value}" for name, value in report[key].items()))
    for row in report["shares"]:
        counts = ", ".join(f"{split} {count}" for split, count in row["counts"].items() if count)
        lines.append(f"  {row['kind']:8} {row['name']}: {counts}")
    return "\n".join(lines)
