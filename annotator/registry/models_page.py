"""Model versions as their page shows them, and what is known of the serving one."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.db.models import Q, QuerySet

from annotator.common.active import concepts_active
from annotator.common.errors import RoostError
from annotator.models import Deployment, GateDecision, ModelVersion, Project

from .model_weights import model_folder, versions_usable


def versions_of(*, project: Project) -> QuerySet[ModelVersion]:
    """The shipped versions and those trained in this project, newest first, but for those without weights."""
    return versions_usable(project=project).filter(weights_removed_at=None).order_by("-id")


def deployments_of(*, project: Project, limit: int = 50) -> list[Deployment]:
    return list(
        project.deployments.select_related("version", "previous", "by", "gate__run", "gate__challenger")[:limit]
    )


@dataclass(frozen=True)
class Quality:
    """The serving version's CGF1 on the holdout, as the last gate that judged it measured it; fractions."""

    cgf1: float
    pmf1: float
    il_mcc: float
    gate: GateDecision
    was_chosen: bool = False  # by these very figures, luck included


def serving_quality(*, project: Project) -> Quality | None:
    serving = project.serving_version_id
    judged = Q(champion_id=serving) | Q(challenger_id=serving)
    gate = project.gate_decisions.filter(judged).select_related("run", "challenger").order_by("-id").first()
    if gate is None:
        return None
    metrics = gate.report.get("challenger" if gate.challenger_id == serving else "champion") or {}
    if not {"cgf1", "pmf1", "il_mcc"} <= metrics.keys():
        return None
    was_chosen = gate.challenger_id == serving and gate.decision == GateDecision.Decision.PROMOTE
    return Quality(metrics["cgf1"], metrics["pmf1"], metrics["il_mcc"], gate, was_chosen)


def untaught_concepts(*, project: Project) -> list[str]:
    """Concepts whose word the serving model was never taught; none when it does not say what it was taught."""
    taught = taught_words(project.serving_version)
    if taught is None:
        return []
    names = concepts_active(project=project).values_list("name", flat=True)
    return [name for name in names if name.lower() not in taught]


def taught_words(version: ModelVersion) -> frozenset[str] | None:
    """The words that its makers say it was taught; None for SAM 3 and everything else that does not list its words.

    They are in a registered version's manifest.json; the shipped model tells them in its card.json.
    """
    try:
        folder = model_folder(version)
    except RoostError:  # the ML backend may hold weights that this machine does not
        return None
    told = next((path for path in (folder / "manifest.json", folder / "card.json") if path.is_file()), None)
    return _words_in(told, told.stat().st_mtime_ns) if told else None


def rollback_target(*, project: Project) -> ModelVersion | None:
    """What would serve after a roll-back; None while the first version serves."""
    stack = deployment_stack(project=project)
    return ModelVersion.objects.get(pk=stack[-2]) if len(stack) > 1 else None


@lru_cache(maxsize=64)
def _words_in(told: Path, _changed_ns: int) -> frozenset[str] | None:
    words = json.loads(told.read_text()).get("taught_words")
    return None if words is None else frozenset(str(word).lower() for word in words)


def deployment_stack(*, project: Project) -> list[int]:
    """Version ids from the first to the serving one: a promotion puts one on top, a rollback takes it off."""
    stack: list[int] = []
    for action, version_id in project.deployments.order_by("pk").values_list("action", "version_id"):
        if action == Deployment.Action.ROLLBACK:
            stack.pop()
        else:
            stack.append(version_id)
    return stack
