"""Which version a project asks for: promote what passed the gate, roll back with one call. No click is dropped:
each click asks for the version that its project serves at that moment, and both stay loaded."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator import ml_client
from annotator.common.audit import audit_record
from annotator.common.errors import BackendError, ConflictError, RoostError
from annotator.models import Deployment, GateDecision, ModelVersion, Project
from annotator.queue.warming import queue_warm

from .aliases import serving_aliases_refresh
from .models_page import deployment_stack

ROLLBACK_SECONDS = 5.0
Stage = ModelVersion.Stage
Action = Deployment.Action


def version_promote(
    *, project: Project, version: ModelVersion, user: AbstractBaseUser, override_reason: str = ""
) -> Deployment:
    """Let the version serve; 409 unless the gate passed it against what serves now, or an admin says why all the same.

    The ML backend loads it and tries it out first; if it can't, nothing changes.
    """
    serving = _serving(project)
    if version.project_id not in (None, project.pk):
        raise RoostError("This version belongs to another project.", code="unknown_version", http_status=404)
    if version == serving:
        raise ConflictError(f"{version.name} serves already.", code="serves_already")
    _check_there(version)
    gate = GateDecision.objects.filter(project=project, challenger=version).order_by("-pk").first()
    refusal = _refusal(gate, version, serving)
    if refusal and not override_reason.strip():
        raise ConflictError(f"{refusal} To promote it all the same, give a reason; it is kept.", code="gate_not_passed")
    ml_client.version_load(version=version.name)
    why = {"override_reason": override_reason.strip(), "gate_said": refusal} if refusal else {}
    return _switch(project, serving, version, Action.PROMOTE, user, gate, why)


def version_named(*, project: Project, name: str) -> ModelVersion:
    """The project's own version, a shipped one, or one that the ML backend has besides (`sam3`), which gets a row."""
    version = ModelVersion.objects.filter(name=name).first()
    if version is None and name in ml_client.backend_status().versions:
        version, _ = ModelVersion.objects.get_or_create(name=name)
    if version is None or version.project_id not in (None, project.pk):
        known = ", ".join(project.model_versions.values_list("name", flat=True)) or "none yet"
        words = f"There is no version {name!r} for this project. Its own: {known}."
        raise RoostError(words, code="unknown_version", http_status=404)
    return version


def version_rollback(*, project: Project, user: AbstractBaseUser) -> Deployment:
    """Back to what served before the last promotion that still stands; 409 when nothing did."""
    serving = _serving(project)
    stack = deployment_stack(project=project)
    if len(stack) < 2:
        raise ConflictError(f"There is nothing to go back to: {serving.name} is the first version.", code="no_previous")
    version = ModelVersion.objects.get(pk=stack[-2])
    details = {"backend_checked": _loads_if_there(version)}
    return _switch(project, serving, version, Action.ROLLBACK, user, None, details)


def _serving(project: Project) -> ModelVersion:
    """From the database, not from an object that somebody has held since."""
    return ModelVersion.objects.get(serving_projects=project.pk)


def _check_there(version: ModelVersion) -> None:
    if ModelVersion.objects.filter(pk=version.pk, weights_removed_at__isnull=False).exists():
        words = f"The weights of {version.name} were removed to save space; `manage.py reproduce` makes them again."
        raise ConflictError(words, code="absent_weights")


def _refusal(gate: GateDecision | None, version: ModelVersion, serving: ModelVersion) -> str:
    """Why the gate does not cover this promotion; empty when it does."""
    if gate is None:
        return f"{version.name} has not been through the gate."
    if gate.decision != GateDecision.Decision.PROMOTE:
        return f"The gate did not pass {version.name}: {gate.get_decision_display().lower()}. {' '.join(gate.reasons)}"
    if gate.champion_id != serving.pk:
        return f"{version.name} was judged against {gate.champion.name}, but {serving.name} serves now."
    return ""


def _loads_if_there(version: ModelVersion) -> bool:
    """A backend that refuses the version stops the rollback; one that is away or hangs must not, it may be the reason.

    What served before lies loaded beside what serves, so that a backend in health answers at once.
    """
    try:
        ml_client.version_load(version=version.name, seconds=ROLLBACK_SECONDS)
    except BackendError as error:
        if error.code in ("backend_unavailable", "backend_timeout"):
            return False
        raise
    return True


@transaction.atomic
def _switch(
    project: Project,
    serving: ModelVersion,
    version: ModelVersion,
    action: str,
    user: AbstractBaseUser,
    gate: GateDecision | None,
    details: dict[str, Any],
) -> Deployment:
    """One transaction; of two admins at once the later finds that another version serves, and is told so."""
    unchanged = Project.objects.filter(pk=project.pk, serving_version=serving)
    if not unchanged.update(serving_version=version):
        raise ConflictError("Somebody else has just changed the serving version; look again.", code="serving_changed")
    _check_there(version)  # retention may have been asked for while the backend loaded it; it waits for this row
    deployment = Deployment.objects.create(
        project=project, version=version, previous=serving, action=action, gate=gate, by=user
    )
    ModelVersion.objects.filter(pk=version.pk).update(stage=Stage.PRODUCTION, archived_at=None)
    # The shipped model, and what another project serves, keep their stage.
    retired = ModelVersion.objects.filter(pk=serving.pk, project__isnull=False)
    retired.exclude(serving_projects__isnull=False).update(stage=Stage.ARCHIVED)
    audit_record(
        project=project,
        actor=user,
        action=f"version.{action}",
        subject=version.name,
        instead_of=serving.name,
        **details,
    )
    project.serving_version = version
    queue_warm(project=project, version=version)
    serving_aliases_refresh()
    return deployment
