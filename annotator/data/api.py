"""Data versions and splits over the API."""

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import ADMIN, project_for
from annotator.common.api.bodies import answers, checked
from annotator.jobs.serializers import Job

from . import serializers
from .snapshots import snapshot_start
from .split_moves import splits_mend
from .splits_page import splits_report


@extend_schema(request=None, responses=answers(202, Job))
@api_view(["POST"])
def snapshots(request: Request, slug: str) -> Response:
    """Freeze what is approved."""
    job = snapshot_start(project=project_for(request.user, slug, ADMIN), user=request.user)
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)


@extend_schema(responses=answers(200, serializers.Splits))
@api_view(["GET"])
def splits(request: Request, slug: str) -> Response:
    """How images and settled pairs lie in the splits, and how many scenes cross them."""
    return Response(serializers.Splits(splits_report(project=project_for(request.user, slug))).data)


@extend_schema(request=serializers.Mend, responses=answers(200, serializers.Mended))
@api_view(["POST"])
def mend(request: Request, slug: str) -> Response:
    """Move scenes that lie in several splits wholly to the one that judges most."""
    project = project_for(request.user, slug, ADMIN)
    done = splits_mend(project=project, user=request.user, **checked(request, serializers.Mend))
    return Response(serializers.Mended(done).data)
