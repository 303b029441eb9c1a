"""One model version, whole: where it comes from, what it is worth, where it served, and what grew out of it.

A shipped version is every project's: what is told of it in a project is what that project did with it, no other's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from annotator.common.errors import RoostError
from annotator.models import Deployment, Evaluation, GateDecision, ModelVersion, Project, TrainingRun

from .aliases import aliases_by_hand, serving_alias
from .model_weights import model_folder, versions_usable
from .run_files import folder_bytes
from .version_calibration import version_calibration_plain

FIGURES = ("cgf1", "pmf1", "il_mcc", "il_fpr")


def versions_shown(
    *, project: Project, search: str = "", stage: str = "", archived: bool = False
) -> QuerySet[ModelVersion]:
    """The shipped versions and the project's own, newest first; `search` in name, notes, run and tag of the data."""
    rows = versions_usable(project=project).filter(archived_at__isnull=not archived)
    if stage:
        rows = rows.filter(stage=stage)
    for word in search.split():
        found = Q(name__icontains=word) | Q(notes__icontains=word) | Q(weights_hash__startswith=word.lower())
        rows = rows.filter(
            found
            | Q(training_run__snapshot__tag__icontains=word)
            | Q(training_run__snapshot__name__icontains=word)
            | Q(code_revision__startswith=word.lower())
        )
    rows = rows.select_related("parent", "training_run__gate", "training_run__snapshot").order_by("-id")
    rows = rows.defer("training_run__series", "training_run__samples", "training_run__gate__report")  # may be large
    return rows.prefetch_related("children")


def version_of(*, project: Project, name: str) -> ModelVersion:
    """RoostError with 404 for one that is not there, or another project's."""
    rows = versions_usable(project=project).filter(name=name)
    rows = rows.select_related("parent", "training_run__snapshot", "training_run__gate", "training_run__base_version")
    version = rows.first()
    if version is None:
        raise RoostError(f"There is no version {name!r} in this project.", code="unknown_version", http_status=404)
    return version


def run_of_version(version: ModelVersion) -> TrainingRun | None:
    return getattr(version, "training_run", None)


@dataclass(frozen=True)
class Lineage:
    """`None` where nobody knows: shipped models have no run, older ones no revision."""

    parent: str | None
    base_hash: str | None
    children: list[str]
    run: int | None
    snapshot: int | None
    snapshot_hash: str | None
    data_revision: str | None
    code_revision: str | None
    packages: dict[str, str]


def version_lineage(*, project: Project | None, version: ModelVersion) -> Lineage:
    """As the project may see it; without a project what all of them may: children that are shipped, no others."""
    run = run_of_version(version)
    seen = (None, project.pk if project else None)
    return Lineage(
        version.parent.name if version.parent else None,
        version.base_hash or (version.parent.weights_hash if version.parent else "") or None,
        [child.name for child in sorted(version.children.all(), key=lambda one: one.pk) if child.project_id in seen],
        run.number if run else None,
        run.snapshot.number if run else None,
        run.snapshot.content_hash if run else None,
        (run.snapshot.data_revision or None) if run else None,
        version.code_revision or None,
        version.packages,
    )


def version_serves(*, project: Project | None, version: ModelVersion) -> bool:
    return project is not None and project.serving_version_id == version.pk


def version_aliases(*, project: Project | None, version: ModelVersion, by_hand: Mapping[str, str]) -> list[str]:
    """The names that stand for it: the project's while it serves there, and those that people wrote by hand."""
    ours = [serving_alias(project=project)] if project and version_serves(project=project, version=version) else []
    return [*ours, *sorted(alias for alias, name in by_hand.items() if name == version.name)]


def version_decisions(*, project: Project, version: ModelVersion) -> list[GateDecision]:
    """What this project's gate said of it, newest first."""
    rows = project.gate_decisions.filter(challenger=version).select_related("champion", "run", "snapshot")
    return list(rows.defer("report").order_by("-pk"))


def version_evaluations(*, project: Project, version: ModelVersion) -> list[Evaluation]:
    rows = project.evaluations.filter(version=version).select_related("snapshot").order_by("-pk")
    return list(rows[:50])


def version_deployments(*, project: Project, version: ModelVersion) -> list[Deployment]:
    return list(project.deployments.filter(version=version).select_related("previous", "by", "gate__run"))


def version_figures(version: ModelVersion) -> dict[str, dict[str, float]]:
    """{where: {figure: fraction}} of `val` and, once it was judged, `holdout`; what is not known is left out."""
    told = {split: version.metrics.get(split) or {} for split in ("val", "holdout")}
    told["val"] = told["val"].get("val", told["val"]) if isinstance(told["val"], dict) else {}
    picked = {split: {name: row[name] for name in FIGURES if row.get(name) is not None} for split, row in told.items()}
    return {split: row for split, row in picked.items() if row}


def version_config(version: ModelVersion) -> dict[str, Any]:
    return dict(version.metrics.get("config") or {})


def version_bytes(version: ModelVersion) -> int | None:
    """On this disk; None where its weights are not on this machine."""
    try:
        return folder_bytes(model_folder(version))
    except RoostError:
        return None


def versions_side_by_side(versions: Iterable[ModelVersion]) -> dict[str, Any]:
    """Figures and settings of several, side by side: {"versions", "figures": {"val.cgf1": [...]}, "settings"}."""
    rows = list(versions)
    figures = [version_figures(row) for row in rows]
    names = [f"{split}.{name}" for split in ("val", "holdout") for name in FIGURES]
    table = {name: [one.get(name.split(".")[0], {}).get(name.split(".")[1]) for one in figures] for name in names}
    configs = [version_config(row) for row in rows]
    keys = sorted({key for config in configs for key in config})
    settings_of = {key: [config.get(key) for config in configs] for key in keys}
    return {
        "versions": [row.name for row in rows],
        "figures": {name: values for name, values in table.items() if any(value is not None for value in values)},
        "settings": {key: values for key, values in settings_of.items() if any(one != values[0] for one in values)},
    }


def version_plain(*, project: Project | None, version: ModelVersion) -> dict[str, Any]:
    return versions_plain(project=project, versions=[version])[0]


def versions_plain(*, project: Project | None, versions: Iterable[ModelVersion]) -> list[dict[str, Any]]:
    """As the API and the command tell them; without a project nothing of what single projects did with them."""
    by_hand = aliases_by_hand() or {}
    return [_plain(project, version, by_hand) for version in versions]


def _plain(project: Project | None, version: ModelVersion, by_hand: Mapping[str, str]) -> dict[str, Any]:
    run, lineage = run_of_version(version), version_lineage(project=project, version=version)
    return {
        "name": version.name,
        "stage": version.stage,
        "serves": [project.slug] if project and version_serves(project=project, version=version) else [],
        "aliases": version_aliases(project=project, version=version, by_hand=by_hand),
        "notes": version.notes,
        "archived_at": version.archived_at,
        "weights_removed_at": version.weights_removed_at,
        "weights_hash": version.weights_hash or None,
        "backbone_hash": version.backbone_hash or None,
        "bytes": version_bytes(version),
        "parent": lineage.parent,
        "base_weights_hash": lineage.base_hash,
        "children": lineage.children,
        "run": lineage.run,
        "snapshot": lineage.snapshot,
        "snapshot_hash": lineage.snapshot_hash,
        "data_revision": lineage.data_revision,
        "code_revision": lineage.code_revision,
        "packages": lineage.packages,
        "recipe": version.metrics.get("recipe") or None,
        "config": version_config(version),
        "figures": version_figures(version),
        "presence_calibration": version_calibration_plain(version),
        "decision": run.gate.decision if run and run.gate else None,
        "created_at": version.created_at,
    }
