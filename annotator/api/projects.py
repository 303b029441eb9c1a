"""Projects: what there is, and the admin's deeds on it."""

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.models import Job, Membership
from annotator.selectors.access import project_for, projects_of
from annotator.services.mining import mining_start

from . import schema
from .bodies import answers
from .payloads import job_payload, project_row, project_whole

ADMIN = Membership.Role.ADMIN


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


@extend_schema(request=None, responses=answers(202, schema.Job))
@api_view(["POST"])
def mine(request: Request, slug: str) -> Response:
    """Start mining."""
    return _started(mining_start(project=project_for(request.user, slug, ADMIN), user=request.user))


def _started(job: Job) -> Response:
    return Response(job_payload(job), status=status.HTTP_202_ACCEPTED)
