"""Retrain, promote, roll back, over the API."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import ADMIN, project_for
from annotator.common.api.bodies import BACKEND_REFUSALS, answers, checked
from annotator.common.errors import RoostError
from annotator.jobs.serializers import Job
from annotator.models import ModelVersion, Project, TrainingRun
from annotator.queue.second_labels import second_labels_queue
from annotator.queue.serializers import Queued

from . import serializers
from .gating import gate_ask_of, run_version
from .label_doubts import labels_doubted
from .promotion import version_named, version_promote, version_rollback
from .run_page import run_of
from .training_runs import retrain_start


@extend_schema(request=serializers.Retrain, responses=answers(202, Job))
@api_view(["POST"])
def retrain(request: Request, slug: str) -> Response:
    """Train on a fresh snapshot (or `config.snapshot`, a number) and judge the result."""
    retrained = project_for(request.user, slug, ADMIN)
    body = checked(request, serializers.Retrain)
    job = retrain_start(project=retrained, user=request.user, trigger=TrainingRun.Trigger.API, **body)
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)


@extend_schema(request=serializers.AskGate, responses=answers(202, Job))
@api_view(["POST"])
def gate(request: Request, slug: str) -> Response:
    """Judge a run's version again, or any other version, on the holdout as it is labelled now; nothing is trained."""
    asked = project_for(request.user, slug, ADMIN)
    body = checked(request, serializers.AskGate)
    version = _version_of(asked, body)
    job = gate_ask_of(project=asked, version=version, user=request.user, snapshot=body["snapshot"])
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)


def _version_of(project: Project, body: dict[str, Any]) -> ModelVersion:
    if "version" in body:
        return version_named(project=project, name=body["version"])
    run = run_of(project=project, number=body["run"])
    if run is None:
        raise RoostError(f"This project has no run {body['run']}.", code="unknown_run", http_status=404)
    return run_version(run)


@extend_schema(request=None, responses=answers(200, Queued))
@api_view(["POST"])
def second_labels(request: Request, slug: str) -> Response:
    """Have holdout pairs that the newest decision's models contradict labelled again, blind, among others."""
    judged = project_for(request.user, slug, ADMIN)
    tasks = second_labels_queue(project=judged, user=request.user, doubted=labels_doubted(project=judged))
    return Response(Queued({"queued": len(tasks)}).data)


@extend_schema(request=serializers.Promote, responses=answers(200, serializers.Serving) | BACKEND_REFUSALS)
@api_view(["POST"])
def promote(request: Request, slug: str) -> Response:
    """Let a version serve that the gate has passed."""
    promoted = project_for(request.user, slug, ADMIN)
    body = checked(request, serializers.Promote)
    version = version_named(project=promoted, name=body.pop("version"))
    deployment = version_promote(project=promoted, version=version, user=request.user, **body)
    return Response(serializers.Serving(deployment).data)


@extend_schema(request=None, responses=answers(200, serializers.Serving) | BACKEND_REFUSALS)
@api_view(["POST"])
def rollback(request: Request, slug: str) -> Response:
    """Back to the version that served before."""
    deployment = version_rollback(project=project_for(request.user, slug, ADMIN), user=request.user)
    return Response(serializers.Serving(deployment).data)
