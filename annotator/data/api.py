"""Data versions over the API: freeze, name, compare, publish."""

from django.core.exceptions import PermissionDenied
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import ADMIN, ANNOTATOR, REVIEWER, project_for
from annotator.common.api.bodies import answers, checked
from annotator.jobs.serializers import Job
from annotator.models import Project
from annotator.queue.visibility import may_be_tested

from . import serializers
from .export_serializers import Export
from .exports import export_start
from .publications import publish_start
from .snapshot_difference import difference_plain, snapshot_called, snapshot_difference
from .snapshot_folders import snapshot_numbered
from .snapshot_names import snapshot_describe
from .snapshot_serializers import Difference, Snapshot, SnapshotWords
from .snapshots import snapshot_start
from .split_moves import splits_mend
from .splits_page import splits_report


@extend_schema(methods=["GET"], request=None, responses=answers(200, Snapshot(many=True)))
@extend_schema(methods=["POST"], request=SnapshotWords, responses=answers(202, Job))
@api_view(["GET", "POST"])
def snapshots(request: Request, slug: str) -> Response:
    """The data versions, newest first; POST freezes what is approved, with a name, notes and a tag if you like."""
    if request.method == "GET":
        rows = project_for(request.user, slug, ANNOTATOR).snapshots.select_related("created_by")
        return Response(Snapshot(rows, many=True).data)
    project = project_for(request.user, slug, ADMIN)
    job = snapshot_start(project=project, user=request.user, **checked(request, SnapshotWords))
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)


@extend_schema(methods=["GET"], request=None, responses=answers(200, Snapshot))
@extend_schema(methods=["PATCH"], request=SnapshotWords, responses=answers(200, Snapshot))
@api_view(["GET", "PATCH"])
def snapshot(request: Request, slug: str, number: int) -> Response:
    """One data version; PATCH changes its name, notes or tag."""
    project = project_for(request.user, slug, ANNOTATOR if request.method == "GET" else ADMIN)
    row = snapshot_numbered(project=project, number=number)
    if request.method == "PATCH":
        snapshot_describe(snapshot=row, user=request.user, **checked(request, SnapshotWords))
    return Response(Snapshot(row).data)


@extend_schema(responses=answers(200, Difference))
@api_view(["GET"])
def snapshot_diff(request: Request, slug: str, number: int, other: str) -> Response:
    """From this one to `other` (a number or a tag): pairs added, changed and removed, with the first 20 of each."""
    project = _project_untested(request, slug)
    before, after = snapshot_numbered(project=project, number=number), snapshot_called(project=project, called=other)
    return Response(Difference(difference_plain(snapshot_difference(before=before, after=after, examples=20))).data)


@extend_schema(request=None, responses=answers(202, Job))
@api_view(["POST"])
def snapshot_publish(request: Request, slug: str, number: int) -> Response:
    """Into the project's data repository and on to the remote."""
    job = publish_start(project=project_for(request.user, slug, ADMIN), user=request.user, number=number)
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)


def _project_untested(request: Request, slug: str) -> Project:
    """Not for whoever may be asked what is in it."""
    project = project_for(request.user, slug)
    if may_be_tested(project=project, user=request.user):
        raise PermissionDenied
    return project


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


@extend_schema(request=Export, responses=answers(202, Job))
@api_view(["POST"])
def exports(request: Request, slug: str) -> Response:
    """Write what is settled, now or in a snapshot, in another tool's format; the job's file is the zip."""
    asked = project_for(request.user, slug, REVIEWER)
    wishes = checked(request, Export)
    job = export_start(project=asked, user=request.user, named_by_person=True, **wishes)
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)
