"""One training run as its page shows it: plots, the gate's report, the same few images before and after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from annotator.common.masks import Rle, WireMask, rle_iou, rle_to_wire
from annotator.models import Evaluation, GateDecision, Project, TrainingRun
from toolbox.events import Event

from .evaluation_page import FIGURES
from .report_files import report_tried

SAME_OBJECT_IOU = 0.5
METRICS = {name: FIGURES[name] for name in ("cgf1", "pmf1", "il_mcc", "il_fpr")} | {
    "f1_at_50": ("F1 at IoU 0.5", "objects found, loosely")
}
ROLES = ("champion", "challenger", "baseline")
# Plots stay readable and answers small: a longer series is thinned to so many points.
POINTS = 400


def run_of(*, project: Project, number: int) -> TrainingRun | None:
    runs = project.training_runs.select_related(
        "job__created_by", "snapshot", "base_version", "version", "gate__champion"
    )
    return runs.filter(number=number).first()


def runs_of(*, project: Project, limit: int = 100) -> list[TrainingRun]:
    """Newest first, without what only the run's own page needs."""
    runs = project.training_runs.select_related("job", "snapshot", "base_version", "version", "gate", "job__created_by")
    return list(runs.defer("series", "samples", "gate__report", "job__report")[:limit])


def series_for_plots(run: TrainingRun) -> dict[str, list]:
    told = {name: _thinned(run.series.get(name) or []) for name in (Event.LOSS, Event.VALIDATION, Event.GPU)}
    return told | {Event.GPU: _gpu_rows(told[Event.GPU])}


def _gpu_rows(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By the minute since the first: the gate counts no steps. Memory as a share, so that one axis holds all."""
    begun = datetime.fromisoformat(points[0]["at"]) if points else None
    return [
        {
            "minute": round((datetime.fromisoformat(point["at"]) - begun).total_seconds() / 60, 2) if begun else 0,
            "memory": _percent(point.get("memory_used_mib"), point.get("memory_total_mib")),
            "utilisation": point.get("utilisation_percent"),
            "temperature": point.get("temperature_c"),
        }
        for point in points
    ]


def _percent(used: float | None, total: float | None) -> float | None:
    return round(100 * used / total, 1) if used is not None and total else None


def _thinned(points: list) -> list:
    step = -(-len(points) // POINTS) or 1
    kept = points[::step]
    return kept if not points or kept[-1] is points[-1] else [*kept, points[-1]]


@dataclass(frozen=True)
class MetricRow:
    """One metric of the three models; fractions, None where a model has none. `delta` challenger - champion."""

    name: str
    words: str
    values: list[float | None]
    delta: float | None


@dataclass(frozen=True)
class GateReport:
    """The gate's manifest as tables."""

    gate: GateDecision
    rows: list[MetricRow]
    groups: list[tuple[str, list[tuple[str, list[float | str | None]]]]]
    chart: dict[str, Any] = field(default_factory=dict)
    reports: list[Evaluation] = field(default_factory=list)


def gate_report(run: TrainingRun) -> GateReport | None:
    return report_of(run.gate) if run.gate else None


def report_of(gate: GateDecision) -> GateReport:
    rows = [_metric_row(gate.report, key, *told) for key, told in METRICS.items()]
    groups = [(words, _group(gate.report, key)) for key, words in (("by_source", "Source"), ("by_concept", "Concept"))]
    reports = [one for one in gate.evaluations.select_related("version") if report_tried(one)]
    return GateReport(gate, rows, [group for group in groups if group[1]], _chart(gate, rows), reports)


def _metric_row(report: dict, key: str, name: str, words: str) -> MetricRow:
    values = [(report.get(role) or {}).get(key) for role in ROLES]
    champion, challenger = values[:2]
    delta = challenger - champion if champion is not None and challenger is not None else None
    return MetricRow(name, words, values, delta)


def _group(report: dict, key: str) -> list[tuple[str, list[float | str | None]]]:
    """CGF1 of each source or concept, of the three models; why not, where it would be 0 whatever they find."""
    found = [(report.get(role) or {}).get(key) or {} for role in ROLES]
    names = sorted({name for one in found for name in one})
    return [(name, [_cgf1_or_why(one.get(name) or {}) for one in found]) for name in names]


def _cgf1_or_why(part: dict) -> float | str | None:
    lacking = [kind for kind in ("positives", "negatives") if part.get(kind) == 0]
    return f"not judged: no {' and no '.join(lacking)}" if lacking else part.get("cgf1")


def _chart(gate: GateDecision, rows: Sequence[MetricRow]) -> dict[str, Any]:
    bootstrap = gate.report.get("bootstrap") or {}
    return {
        "metrics": [{"name": row.name, "values": row.values} for row in rows[:3]],
        "gain": gate.report.get("delta_cgf1"),
        "low": bootstrap.get("low"),
        "high": bootstrap.get("high"),
        "asked": (gate.report.get("policy") or {}).get("min_gain_points", 0) / 100,
    }


def sample_cards(run: TrainingRun) -> list[dict[str, Any]]:
    """The fixed images: for before and after the masks as wire masks, each called hit, false or missed."""
    before = {row["pair_id"]: row for row in run.samples.get("before", [])}
    after = {row["pair_id"]: row for row in run.samples.get("after", [])}
    return [_sample_card(before[pair], after[pair]) for pair in before if pair in after]


def _sample_card(before: dict, after: dict) -> dict[str, Any]:
    shared = {name: before[name] for name in ("pair_id", "image", "text_input", "width", "height")}
    return {**shared, "before": sample_judged(before), "after": sample_judged(after)}


def sample_judged(row: dict, *, told: Callable[[Rle], WireMask] = rle_to_wire) -> dict[str, Any]:
    """Best score first, each instance takes the truth that it overlaps most, at IoU 0.5 or more. `told`: a mask's."""
    open_truth = list(row["truth"])
    masks = []
    for found in sorted(row["instances"], key=lambda one: -one["score"]):
        overlaps = [rle_iou(found["segmentation"], truth) for truth in open_truth]
        best = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
        is_hit = False
        if best is not None and overlaps[best] >= SAME_OBJECT_IOU:
            is_hit = True
            del open_truth[best]
        masks.append({"kind": "hit" if is_hit else "false", "mask": told(found["segmentation"])})
    masks += [{"kind": "missed", "mask": told(truth)} for truth in open_truth]
    counts = {kind: sum(one["kind"] == kind for one in masks) for kind in ("hit", "false", "missed")}
    return {"presence": row["presence"], "masks": masks, **counts}
