"""Projects: what there is, and the admin's deeds on it."""

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view, parser_classes
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import project_for, projects_of
from annotator.common.api import schema, serializers
from annotator.common.api.bodies import ADMIN, answers, checked, started
from annotator.common.api.parsers import StrictJSONParser
from annotator.common.api.payloads import project_row, project_whole
from annotator.services.prediction_jobs import predict_start


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


@extend_schema(request=serializers.Predict, responses=answers(202, schema.Job))
@api_view(["POST"])
@parser_classes([StrictJSONParser, MultiPartParser])
def predict(request: Request, slug: str) -> Response:
    """Ask a version about a whole folder or bucket, or an uploaded zip; the job's file has the answers."""
    asked = project_for(request.user, slug, ADMIN)
    return started(predict_start(project=asked, user=request.user, **checked(request, serializers.Predict)))
