"""Projects: what there is, and the admin's actions on it."""

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import project_for, projects_of
from annotator.common.api.bodies import answers

from . import serializers
from .overview import project_counts


@extend_schema(responses=answers(200, serializers.ProjectRow(many=True)))
@api_view(["GET"])
def projects(request: Request) -> Response:
    """The caller's projects."""
    rows = projects_of(user=request.user)
    return Response(serializers.ProjectRow(rows, many=True, context={"user": request.user}).data)


@extend_schema(responses=answers(200, serializers.Project))
@api_view(["GET"])
def project(request: Request, slug: str) -> Response:
    """One project: counts a station, thresholds, serving version, the caller's role."""
    shown = project_for(request.user, slug)
    context = {"user": request.user, "counts": project_counts(project=shown, user=request.user)}
    return Response(serializers.Project(shown, context=context).data)
