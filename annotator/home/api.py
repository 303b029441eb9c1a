"""Projects: what there is, and the admin's deeds on it."""

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import project_for, projects_of
from annotator.common.api import schema
from annotator.common.api.bodies import answers
from annotator.common.api.payloads import project_row, project_whole


@extend_schema(responses=answers(200, schema.ProjectRow(many=True)))
@api_view(["GET"])
def projects(request: Request) -> Response:
    """The caller's projects."""
    return Response([project_row(project, request.user) for project in projects_of(user=request.user)])


@extend_schema(responses=answers(200, schema.Project))
@api_view(["GET"])
def project(request: Request, slug: str) -> Response:
    """One project: counts a station, thresholds, serving version, the caller's role."""
    return Response(project_whole(project_for(request.user, slug), request.user))
