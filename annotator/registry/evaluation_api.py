"""Evaluations, comparisons and the gate's decisions, over the API."""

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import ADMIN, project_for
from annotator.common.api.bodies import answers, checked
from annotator.common.errors import RoostError
from annotator.jobs.serializers import Job

from . import evaluation_serializers as serializers
from .evaluating import evaluation_ask
from .evaluation_page import SHOWN, evaluation_of, evaluations_of
from .gate_page import gates_told
from .promotion import version_named
from .version_compare import comparison_of, versions_compared


@extend_schema(methods=["GET"], responses=answers(200, serializers.EvaluationShort(many=True)))
@extend_schema(methods=["POST"], request=serializers.AskEvaluation, responses=answers(202, Job))
@api_view(["GET", "POST"])
def evaluations(request: Request, slug: str) -> Response:
    """The newest hundred; POST measures a version on a split of a snapshot. On the holdout it counts as a look."""
    if request.method == "GET":
        rows = evaluations_of(project=project_for(request.user, slug))[:SHOWN]
        return Response(serializers.EvaluationShort(rows, many=True).data)
    project = project_for(request.user, slug, ADMIN)
    body = checked(request, serializers.AskEvaluation)
    version = version_named(project=project, name=body.pop("version"))
    job = evaluation_ask(project=project, version=version, user=request.user, **body)
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)


@extend_schema(responses=answers(200, serializers.Evaluation))
@api_view(["GET"])
def evaluation(request: Request, slug: str, evaluation_id: int) -> Response:
    """Its figures with what they rest on, and what the preset says of them."""
    row = evaluation_of(project=project_for(request.user, slug), evaluation_id=evaluation_id)
    if row is None:
        words = f"This project has no evaluation {evaluation_id}."
        raise RoostError(words, code="unknown_evaluation", http_status=404)
    return Response(serializers.Evaluation(row).data)


@extend_schema(parameters=[serializers.CompareAsked], responses=answers(200, serializers.VersionComparison))
@api_view(["GET"])
def compare(request: Request, slug: str) -> Response:
    """Two to six versions on one set: figures, paired differences, and how many pairs were mended and broken."""
    project = project_for(request.user, slug)
    asked = serializers.CompareAsked(data=request.query_params)
    asked.is_valid(raise_exception=True)
    versions = versions_compared(project=project, names=asked.validated_data["version"])
    snapshot, split = asked.validated_data["snapshot"], asked.validated_data["split"]
    found = comparison_of(project=project, versions=versions, snapshot=snapshot, split=split)
    return Response(serializers.VersionComparison(found).data)


@extend_schema(responses=answers(200, serializers.Gate(many=True)))
@api_view(["GET"])
def gates(request: Request, slug: str) -> Response:
    """The gate's newest hundred decisions."""
    rows = gates_told(project=project_for(request.user, slug))[:SHOWN]
    return Response(serializers.Gate(rows, many=True).data)


@extend_schema(responses=answers(200, serializers.Gate))
@api_view(["GET"])
def gate(request: Request, slug: str, gate_id: int) -> Response:
    """One decision with its rules and the policy by which it was made."""
    row = gates_told(project=project_for(request.user, slug)).filter(pk=gate_id).first()
    if row is None:
        raise RoostError(f"This project has no decision {gate_id}.", code="unknown_gate", http_status=404)
    return Response(serializers.Gate(row).data)
