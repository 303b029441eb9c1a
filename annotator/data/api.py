"""Data versions over the API."""

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import ADMIN, project_for
from annotator.common.api.bodies import answers
from annotator.jobs.serializers import Job

from .snapshots import snapshot_start


@extend_schema(request=None, responses=answers(202, Job))
@api_view(["POST"])
def snapshots(request: Request, slug: str) -> Response:
    """Freeze what is approved."""
    job = snapshot_start(project=project_for(request.user, slug, ADMIN), user=request.user)
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)
