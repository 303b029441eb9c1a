"""Data versions over the API."""

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import ADMIN, REVIEWER, project_for
from annotator.common.api.bodies import answers, checked
from annotator.jobs.serializers import Job

from . import serializers
from .exports import export_start
from .snapshots import snapshot_start


@extend_schema(request=None, responses=answers(202, Job))
@api_view(["POST"])
def snapshots(request: Request, slug: str) -> Response:
    """Freeze what is approved."""
    job = snapshot_start(project=project_for(request.user, slug, ADMIN), user=request.user)
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)


@extend_schema(request=serializers.Export, responses=answers(202, Job))
@api_view(["POST"])
def exports(request: Request, slug: str) -> Response:
    """Write what is settled, now or in a snapshot, in another tool's format; the job's file is the zip."""
    asked = project_for(request.user, slug, REVIEWER)
    wishes = checked(request, serializers.Export)
    job = export_start(project=asked, user=request.user, named_by_person=True, **wishes)
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)
