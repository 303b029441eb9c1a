"""Evaluations as pages and the API show them: figures with what they rest on, and the sentence that they end in."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from annotator.models import Evaluation, Image, ModelVersion, Project
from toolbox.presets import PRESETS, SCORE, Readiness, readiness

from .judged_files import measures_of

SHOWN = 100
# Figures of measures.json (docs/contracts.md) and of a gate's report, in the pages' order, with what they say.
FIGURES = {
    "cgf1": ("CGF1", "pmF1 x IL_MCC: the figure that the gate decides by"),
    "pmf1": ("pmF1", "how good the masks are where the thing is there"),
    "il_mcc": ("IL_MCC", "whether it says rightly that the thing is there or not"),
    "il_fpr": ("IL_FPR", "how often it fires on images without the thing; lower is better"),
    "il_recall": ("IL recall", "how often it finds anything where the thing is there"),
    "ap": ("mAP", "average precision of the masks over IoU 0.5 to 0.95"),
    "ap50": ("AP50", "the same at IoU 0.5"),
    "ap75": ("AP75", "the same at IoU 0.75"),
    "ar": ("AR", "average recall over IoU 0.5 to 0.95"),
}
OBJECTS = {"precision": "Precision of objects", "recall": "Recall of objects", "f1": "F1 of objects"}


@dataclass(frozen=True)
class Figure:
    """A fraction with its 95 % interval and how many it rests on; `why`: it is not defined here."""

    name: str
    words: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    why: str = ""


def evaluations_of(*, project: Project, version: ModelVersion | None = None) -> QuerySet[Evaluation]:
    """Newest first, without what only pages of runs and decisions need."""
    rows = project.evaluations.select_related("version", "snapshot", "asked_by", "gate__run", "gate__challenger", "job")
    rows = rows.defer("gate__report", "gate__run__series", "gate__run__samples", "job__report")
    return rows.filter(version=version) if version else rows


def evaluation_of(*, project: Project, evaluation_id: int) -> Evaluation | None:
    return evaluations_of(project=project).filter(pk=evaluation_id).first()


def others_of(evaluation: Evaluation) -> list[str]:
    """Versions that were judged on the same set, to stand beside this one."""
    same = Evaluation.objects.filter(
        project=evaluation.project_id, snapshot=evaluation.snapshot_id, split=evaluation.split
    )
    names = (
        same.exclude(version=evaluation.version_id).order_by("version__name").values_list("version__name", flat=True)
    )
    return list(names.distinct()[:50])


def figures_of(evaluation: Evaluation) -> list[Figure]:
    """From measures.json; of an evaluation from before it, the bare values."""
    measures = measures_of(evaluation)
    if measures is None:
        known = ((name, evaluation.metrics.get(key)) for key, name in FIGURES.items())
        return [Figure(*name, value) for name, value in known if value is not None]
    told, undefined = measures["figures"], measures.get("undefined") or {}
    rows = [_figure(*words, told.get(key), undefined.get(key, "")) for key, words in FIGURES.items() if key in told]
    objects = (measures.get("objects_at") or {}).get(SCORE) or {}
    asked = f"at IoU 0.5, score {SCORE}"
    return rows + [_figure(name, asked, objects[key], "") for key, name in OBJECTS.items() if key in objects]


def groups_of(evaluation: Evaluation) -> list[tuple[str, list[tuple[str, Figure, dict[str, int]]]]]:
    """(Concept, [(chicken, its CGF1, {pairs, …}), …]): by concept and source, and by size its mAP, where measured."""
    by = (measures_of(evaluation) or {}).get("by") or {}
    asked = (("concept", "Concept", "cgf1"), ("source", "Source", "cgf1"), ("size", "Size of objects", "ap"))
    return [(words, _group(by[key], figure)) for key, words, figure in asked if by.get(key)]


def _group(told: dict[str, Any], key: str) -> list[tuple[str, Figure, dict[str, int]]]:
    rows = []
    for name, part in sorted(told.items()):
        why = (part.get("undefined") or {}).get(key, "")
        rows.append((name, _figure(*FIGURES[key], (part.get("figures") or {}).get(key), why), part.get("n") or {}))
    return rows


def _figure(name: str, words: str, told: dict[str, Any] | None, why: str) -> Figure:
    found = told or {}
    value = found.get("value")
    why = "" if value is not None else why or "It can't be said from these pairs."
    return Figure(name, words, value, found.get("low"), found.get("high"), found.get("n"), why)


def verdict_of(evaluation: Evaluation, preset: str = "") -> Readiness | None:
    """By the preset that it was asked with, or another; None where nothing was measured with intervals."""
    measures = measures_of(evaluation)
    asked = PRESETS[preset].plain(preset) if preset else evaluation.preset
    return readiness(measures, asked, split=evaluation.split) if measures and asked else None


def counts_as_look(evaluation: Evaluation) -> bool:
    """Whether it may count as one: gate_looks.py has the whole rule."""
    return evaluation.split == Image.Split.HOLDOUT and evaluation.gate_id is None
