"""Two or more runs side by side: their curves, what came of them, and the settings in which they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from annotator.common.told import duration, points
from annotator.models import Project, TrainingRun
from toolbox.training_settings import SETTABLE

from .run_costs import amount_told, run_cost
from .run_downloads import run_file
from .run_page import series_for_plots

AT_MOST = 6


@dataclass(frozen=True)
class Row:
    """One line of a table; a value for each run, in their order."""

    name: str
    values: list[str]


def runs_compared(*, project: Project, numbers: Sequence[int]) -> list[TrainingRun]:
    """Oldest first; the project's own alone, so that a number of another project is not there."""
    runs = project.training_runs.select_related("job", "snapshot", "base_version", "version", "gate")
    return list(runs.filter(number__in=set(numbers)).order_by("number"))


def compared_series(runs: Sequence[TrainingRun]) -> list[dict[str, Any]]:
    return [{"name": f"run {run.number}", **series_for_plots(run)} for run in runs]


def result_rows(runs: Sequence[TrainingRun]) -> list[Row]:
    return [Row(name, [words(run) for run in runs]) for name, words in RESULTS.items()]


def setting_rows(runs: Sequence[TrainingRun]) -> list[Row]:
    """The settings that are not the same in all of them."""
    known = [_settings(run) for run in runs]
    rows = [Row(name, [_shown(one.get(name)) for one in known]) for name in SETTABLE]
    return [row for row in rows if len(set(row.values)) > 1]


def _settings(run: TrainingRun) -> dict[str, Any]:
    """As the trainer resolved them; of a run whose file is not here, what was asked for over today's defaults."""
    usual = {name: setting.default for name, setting in SETTABLE.items()}
    return usual | run.config | _resolved(run)


def _resolved(run: TrainingRun) -> dict[str, Any]:
    path = run_file(run, "config.yaml")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return {name: value for name, value in found.items() if name in SETTABLE} if isinstance(found, dict) else {}


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _best_cgf1(run: TrainingRun) -> str:
    told = [row["cgf1"] for row in run.series.get("validation") or [] if row.get("cgf1") is not None]
    return points(max(told, default=None))


def _holdout_cgf1(run: TrainingRun) -> str:
    gate = run.gate
    return points((gate.report.get("challenger") or {}).get("cgf1")) if gate else "–"


def _gate(run: TrainingRun) -> str:
    gate = run.gate
    return gate.get_decision_display() if gate else "–"


def _cost(run: TrainingRun) -> str:
    cost = run_cost(run)
    return "–" if cost is None else amount_told(cost, run.currency)


RESULTS = {
    "State": lambda run: run.job.get_state_display(),
    "From": lambda run: run.base_version.name,
    "Snapshot": lambda run: f"{run.snapshot.number} {run.snapshot.tag or run.snapshot.name}".strip(),
    "Best CGF1 on val": _best_cgf1,
    "CGF1 on the holdout": _holdout_cgf1,
    "Gate": _gate,
    "The trainer worked": lambda run: duration(run.trainer_seconds),
    "Cost": _cost,
}
