"""An evaluation's report as its page shows it: figures of both models beside each other, charts, the worst pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Max
from django.urls import reverse

from annotator.common.access import Person
from annotator.common.masks import rle_to_wire
from annotator.models import Evaluation, Image, Pair, Project, Task
from annotator.queue.visibility import answers_visible

from .report_files import report_read
from .report_making import BASELINE, role_of

KINDS = {
    "false_alarm": "False alarms",
    "missed": "Missed wholly",
    "partly": "Partly right",
}
OF_ONE = KINDS | {"false_alarm": "False alarm"}
A_PAGE = 12
DATA = "data_"


@dataclass(frozen=True)
class Beside:
    """The report of another model that the same gate judged."""

    evaluation: Evaluation
    role: str
    report: dict[str, Any]


def reports_beside(evaluation: Evaluation) -> list[Beside]:
    if evaluation.gate is None:
        return []
    others = evaluation.gate.evaluations.exclude(pk=evaluation.pk).select_related("version", "gate").order_by("pk")
    found = [(one, role_of(one), report_read(one)) for one in others if role_of(one) != BASELINE]
    return [Beside(one, role, report) for one, role, report in found if report is not None]


@dataclass(frozen=True)
class FigureRow:
    """One figure as each model's report tells it, this one's first."""

    label: str
    words: str
    told: list[str]


def figure_table(reports: Sequence[dict[str, Any]]) -> list[FigureRow]:
    """All that any of them tells; a report that lacks a figure shows a dash."""
    known: dict[str, dict[str, Any]] = {}
    for report in reports:
        for row in report["figures"]:
            known.setdefault(row["name"], row)
    told = [{row["name"]: row["told"] for row in report["figures"]} for report in reports]
    return [FigureRow(row["label"], row["words"], [one.get(name, "–") for one in told]) for name, row in known.items()]


def group_tables(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows by concept, source, size and by who drew the masks, as cells in the order of the heads."""
    return [_group_table(group) for group in report["groups"]]


def _group_table(group: dict[str, Any]) -> dict[str, Any]:
    names: dict[str, str] = {}
    for row in group["rows"]:
        names |= {name: figure["label"] for name, figure in row["figures"].items() if name not in names}
    rows = [
        (row["name"], [row["n"].get("pairs", "–"), *(row["figures"].get(name, {}).get("told", "–") for name in names)])
        for row in group["rows"]
    ]
    return {"title": group["title"], "heads": ["Pairs", *names.values()], "rows": rows}


def charts_by_part(report: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(title, charts): what the model does, then what it learned from and was judged by."""
    data = [chart for chart in report["charts"] if chart["name"].startswith(DATA)]
    others = [chart for chart in report["charts"] if chart not in data]
    return [(title, charts) for title, charts in (("Plots", others), ("The data", data)) if charts]


@dataclass(frozen=True)
class Gallery:
    """One page of the worst pairs; `cards` as the page's script draws them, each with where it may be opened."""

    cards: list[dict[str, Any]]
    kinds: list[tuple[str, str, int]]
    kind: str
    first: int
    count: int
    before: int | None
    after: int | None

    @property
    def last(self) -> int:
        return self.first + len(self.cards) - 1


def gallery_of(*, report: dict[str, Any], project: Project, user: Person, kind: str, start: int) -> Gallery:
    """Worst first, false alarms on top; `kind` of KINDS, else all. Only those whose masks the report holds."""
    kind = kind if kind in KINDS else ""
    worst = [entry for entry in report["faults"]["worst"] if not kind or entry["kind"] == kind]
    start = max(0, min(start, max(0, len(worst) - 1)) // A_PAGE * A_PAGE)
    shown = worst[start : start + A_PAGE]
    doors = _doors(shown, project, user)
    counts = report["faults"]["kinds"]
    return Gallery(
        cards=[_card(entry, doors.get((entry["image"], entry["text_input"]))) for entry in shown],
        kinds=[(key, words, counts[key]) for key, words in KINDS.items() if counts.get(key)],
        kind=kind,
        first=start + 1 if shown else 0,
        count=len(worst),
        before=start - A_PAGE if start else None,
        after=start + A_PAGE if start + A_PAGE < len(worst) else None,
    )


def _card(entry: dict[str, Any], door: tuple[str, str] | None) -> dict[str, Any]:
    drawn = [{"kind": one["kind"], "mask": rle_to_wire(one["mask"])} for one in entry["found"]]
    drawn += [{"kind": "missed", "mask": rle_to_wire(mask)} for mask in entry["missed"]]
    counts = {kind: sum(one["kind"] == kind for one in drawn) for kind in ("hit", "false", "missed")}
    shared = {key: entry[key] for key in ("id", "image", "text_input", "width", "height", "kind", "presence")}
    return {
        **shared,
        "words": OF_ONE.get(entry["kind"], entry["kind"]),
        "error": entry["error"],
        "best": max((one["score"] for one in entry["found"]), default=None),
        "truth": [{"kind": "hit", "mask": rle_to_wire(mask)} for mask in entry["truth"]],
        "drawn": drawn,
        **counts,
        "address": door[0] if door else "",
        "door": door[1] if door else "",
    }


def _doors(entries: Sequence[dict[str, Any]], project: Project, user: Person) -> dict[tuple[str, str], tuple[str, str]]:
    """{(image, concept): (address, what opens)}: the desk where the pair waits, the reviewer's desk where it is
    answered, else its picture. Not a blind second answer: whoever has seen this page is no second person."""
    images = {entry["image"] for entry in entries}
    concepts = {entry["text_input"] for entry in entries}
    pairs = Pair.objects.filter(project=project, image__in=Image.objects.filter(project=project, sha256__in=images))
    pairs = pairs.filter(concept__name__in=concepts)
    waiting = Task.objects.filter(pair__in=pairs, state=Task.State.QUEUED, blind=0)
    open_tasks = dict(waiting.exclude(lane__in=Task.BLIND_REASONS).values_list("pair_id", "pk"))
    answers = answers_visible(pairs=pairs, project=project, user=user).order_by()
    newest = dict(answers.values_list("pair_id").annotate(newest=Max("pk")))
    found = {}
    for pk, sha256, concept in pairs.values_list("pk", "image__sha256", "concept__name"):
        if pk in open_tasks:
            door = (reverse("desk-task", args=[project.slug, open_tasks[pk]]), "At the desk")
        elif pk in newest:
            door = (reverse("review", args=[project.slug, newest[pk]]), "At the reviewer's desk")
        else:
            door = (f"{reverse('image', args=[project.slug, sha256])}#pair-{pk}", "The image")
        found[(sha256, concept)] = door
    return found
