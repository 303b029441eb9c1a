"""The gate's decisions about any version, as their pages and the API show them."""

from typing import Any

from django.db.models import F, JSONField, Prefetch, QuerySet, Value
from django.db.models.functions import Coalesce

from annotator.models import Evaluation, GateDecision, Project
from toolbox.gate_policy import told


def gates_of(*, project: Project) -> QuerySet[GateDecision]:
    """Newest first, without what only pages of runs need."""
    rows = project.gate_decisions.select_related("champion", "challenger", "snapshot", "run", "asked_by", "project")
    return rows.defer("run__series", "run__samples").order_by("-pk")


def gates_listed(*, project: Project) -> QuerySet[GateDecision]:
    """The same for a list that tells only what each decided: a report has every figure of three models."""
    return gates_of(project=project).defer("report")


def gates_told(*, project: Project) -> QuerySet[GateDecision]:
    """As the API tells them: of the report `policy`, `rules` and three figures, of the evaluations their ids."""
    told: dict[str, Any] = {name: F(f"report__{name}") for name in ("rules_version", "looks", "delta_cgf1")}
    told |= {
        name: Coalesce(F(f"report__{name}"), Value(empty, JSONField()))
        for name, empty in (("rules", []), ("policy", {}))
    }
    made = Prefetch("evaluations", Evaluation.objects.only("gate"))
    return gates_listed(project=project).annotate(**told).prefetch_related(made)


def gate_of(*, project: Project, gate_id: int) -> GateDecision | None:
    return gates_of(project=project).filter(pk=gate_id).first()


def policy_rows(gate: GateDecision) -> list[tuple[str, str, str]]:
    """(key, as it was for this decision, as it is today where that differs)."""
    now = gate.project.gate_policy
    kept = gate.report.get("policy") or {}
    return [(name, told(value), "" if value == now.get(name) else told(now.get(name))) for name, value in kept.items()]


def earlier_of(gate: GateDecision) -> list[GateDecision]:
    """What the gate said of the same version before, newest first; with both models' CGF1 and `.judged`, the pairs."""
    before = gates_listed(project=gate.project).filter(challenger=gate.challenger_id, pk__lt=gate.pk)
    figures = {f"{role}_cgf1": F(f"report__{role}__cgf1") for role in ("champion", "challenger")}
    return list(before.annotate(**figures, judged=F("report__holdout__pairs")))


def passes_now(gate: GateDecision, serving_version_id: int) -> bool:
    """Whether it is the newest word about its version, passed it, and against what serves now; otherwise promoting the
    version needs a reason."""
    newest = gate.project.gate_decisions.filter(challenger=gate.challenger_id).order_by("-pk").first()
    is_newest = newest is not None and newest.pk == gate.pk
    return is_newest and gate.decision == GateDecision.Decision.PROMOTE and gate.champion_id == serving_version_id
