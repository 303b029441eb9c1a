"""`python -m annotator.data.formats check|convert`: look at annotation files, or write them in another format, without
a database and without Roost's settings."""

import argparse
import json
import sys
from pathlib import Path

from annotator.common.errors import RoostError
from annotator.data.convert import Report, Wish, files_checked, files_converted
from annotator.data.export_layouts import LAYOUTS
from annotator.data.verdicts import Vouch

READ = ("coco", "saco", "yolo", "labelme", "label_studio", "cvat", "negatives")


def main(arguments: list[str] | None = None) -> int:
    """0; 1 where a document was refused or nothing was found, 2 where it could not be done at all."""
    asked = _parser().parse_args(arguments)
    try:
        report = _done(asked)
    except RoostError as error:
        print(json.dumps({"error": str(error)}) if asked.json else str(error), file=sys.stderr)
        return 2
    if asked.json:
        print(json.dumps(report.as_dict(), ensure_ascii=False, indent=1))
    else:
        print("\n".join(_lines(report)))
    return 1 if report.refused or not report.documents else 0


def _done(asked: argparse.Namespace) -> Report:
    only = "" if asked.source_format == "auto" else asked.source_format
    vouch = Vouch(complete=asked.complete or asked.exhaustive, exhaustive=asked.exhaustive)
    if asked.command == "check":
        return files_checked(asked.source, wish=Wish(only, vouch))
    return files_converted(asked.source, Path(asked.target), to=asked.to, wish=Wish(only, vouch, asked.boxes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m annotator.data.formats", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="what is in these files, and what can't be read")
    convert = commands.add_parser("convert", help="write them in another format, pictures included")
    for command in (check, convert):
        command.add_argument("source", help="a folder, a zip, or s3://bucket/prefix")
        command.add_argument("--from", dest="source_format", default="auto", choices=("auto", *READ))
        command.add_argument("--json", action="store_true", help="one JSON object on standard output")
        command.add_argument("--complete", action="store_true", help="of what is labelled, every object is")
        command.add_argument("--exhaustive", action="store_true", help="what is not labelled is not there")
    convert.add_argument("target", help="a folder, new or empty")
    convert.add_argument("--to", required=True, choices=tuple(LAYOUTS))
    convert.add_argument("--boxes", action="store_true", help="write objects that have only a box as filled boxes")
    return parser


def _lines(report: Report) -> list[str]:
    lines = []
    for one in report.documents:
        classes = ", ".join(f"{name} {count}" for name, count in one["classes"].items()) or "no classes"
        lines.append(f"{one['where']}: {one['format']}, {one['images']} images; {classes}")
    lines += [f"refused {one.where}: {one.why}" for one in report.refused]
    for row in report.as_dict()["problems"]:
        lines.append(f"{row['count']} x {row['why']} ({', '.join(row['where'])})")
    lines += [f"{name.replace('_', ' ')}: {count}" for name, count in report.counts.items()]
    return [*lines, *report.written] or ["No annotation files were found."]


if __name__ == "__main__":
    sys.exit(main())
