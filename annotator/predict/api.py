"""Predictions on a folder or bucket, over the API."""

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view, parser_classes
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import ADMIN, REVIEWER, job_for, project_for
from annotator.common.api.bodies import answers, checked
from annotator.common.api.parsers import StrictJSONParser
from annotator.data.exports import export_file
from annotator.jobs.serializers import Job
from annotator.models.jobs import Job as JobRow

from . import serializers
from .services import predict_start, prediction_file


@extend_schema(request=serializers.Predict, responses=answers(202, Job))
@api_view(["POST"])
@parser_classes([StrictJSONParser, MultiPartParser])
def predict(request: Request, slug: str) -> Response:
    """Ask a version about a whole folder or bucket, or an uploaded zip; the job's file has the answers."""
    asked = project_for(request.user, slug, ADMIN)
    job = predict_start(project=asked, user=request.user, **checked(request, serializers.Predict))
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)


@extend_schema(responses=answers((200, "application/zip"), OpenApiTypes.BINARY))
@api_view(["GET"])
def file(request: Request, job_id: int) -> FileResponse:
    """The zip of finished predictions, or of a finished export, which is for reviewers."""
    job = job_for(request.user, job_id)
    if job.kind == JobRow.Kind.EXPORT:
        path = export_file(job=job_for(request.user, job_id, REVIEWER))
    else:
        path = prediction_file(job=job)
    return FileResponse(path.open("rb"), as_attachment=True, filename=path.name, content_type="application/zip")
