"""Projects: what there is, and the making of a new one."""

from typing import Any

from django.core.exceptions import PermissionDenied
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator import models
from annotator.common.access import (
    RANK,
    REVIEWER,
    may_create_project,
    memberships_of,
    project_for,
    projects_of,
    role_of,
)
from annotator.common.api.bodies import answers, checked

from . import curve_serializers, serializers
from .curve import learning_curve
from .overview import project_counts
from .services import project_create


@extend_schema(methods=["GET"], responses=answers(200, serializers.ProjectRow(many=True)))
@extend_schema(methods=["POST"], request=serializers.NewProject, responses=answers(201, serializers.Project))
@api_view(["GET", "POST"])
def projects(request: Request) -> Response:
    """GET: the caller's projects. POST: a new one, with the caller as its admin."""
    if request.method == "POST":
        return _project_new(request)
    rows = projects_of(user=request.user)
    return Response(serializers.ProjectRow(rows, many=True, context={"user": request.user}).data)


def _project_new(request: Request) -> Response:
    roles = {row.role for row in memberships_of(user=request.user)}
    if not may_create_project(user=request.user, roles=roles):
        raise PermissionDenied
    made = project_create(user=request.user, **checked(request, serializers.NewProject))
    return Response(_shown(request, made), status=status.HTTP_201_CREATED)


@extend_schema(responses=answers(200, serializers.Project))
@api_view(["GET"])
def project(request: Request, slug: str) -> Response:
    """One project: counts a station, thresholds, serving version, the caller's role."""
    return Response(_shown(request, project_for(request.user, slug)))


@extend_schema(parameters=[curve_serializers.CurveAsked], responses=answers(200, curve_serializers.LearningCurve))
@api_view(["GET"])
def curve(request: Request, slug: str) -> Response:
    """CGF1 against people's hours, round by round, with what belongs to it; `target`: a CGF1, as a fraction.

    Which images were fixed and broken is named to reviewers and admins alone.
    """
    asked_of = project_for(request.user, slug)
    asked = curve_serializers.CurveAsked(data=request.query_params)
    asked.is_valid(raise_exception=True)
    found = learning_curve(project=asked_of, target=asked.validated_data["target"])
    role = role_of(user=request.user, project=asked_of)
    context = {"names_images": role is not None and RANK[role] >= RANK[REVIEWER]}
    return Response(curve_serializers.LearningCurve(found, context=context).data)


def _shown(request: Request, shown: models.Project) -> dict[str, Any]:
    context = {"user": request.user, "counts": project_counts(project=shown, user=request.user)}
    return serializers.Project(shown, context=context).data
