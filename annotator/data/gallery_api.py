"""Images over the API: found, acted on, taken back."""

from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view, parser_classes
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import REVIEWER, project_for
from annotator.common.api.bodies import answers, checked
from annotator.jobs.serializers import Job
from annotator.models import Job as JobRow

from . import gallery_serializers as serializers
from .bulk_actions import bulk_act, bulk_undo, skipped_told
from .feed_api import images_taken_in
from .image_filter import ImageFilter
from .images_page import images_page
from .serializers import PostedImages, PostImages


@extend_schema(methods=["GET"], parameters=[serializers.ImagesAsked], responses=answers(200, serializers.ImagesFound))
@extend_schema(methods=["POST"], request={"multipart/form-data": PostImages}, responses=answers(200, PostedImages))
@api_view(["GET", "POST"])
@parser_classes([MultiPartParser])
def images(request: Request, slug: str) -> Response:
    """A page of images, newest first, by any of the filters; `more` is the next page's `before`.

    POST takes images in, told file by file what came of each; they are mined, and queued where the model hesitates.
    """
    if request.method == "POST":
        return images_taken_in(request, slug)
    project = project_for(request.user, slug)
    asked = serializers.ImagesAsked(data=request.query_params)
    asked.is_valid(raise_exception=True)
    found = images_page(project=project, wanted=ImageFilter(**asked.validated_data), user=request.user)
    return Response(serializers.ImagesFound(found, context={"project": project}).data)


@extend_schema(request=serializers.Act, responses=answers(200, serializers.Change) | {202: Job})
@api_view(["POST"])
def images_act(request: Request, slug: str) -> Response:
    """Do something to the images named, or to all that `filter` finds; 202 with a job where these are many."""
    project = project_for(request.user, slug, REVIEWER)
    body = checked(request, serializers.Act)
    done = bulk_act(
        project=project,
        user=request.user,
        kind=body["do"],
        seen_at=body["seen_at"] or timezone.now(),
        sha256s=body["images"],
        wanted=None if body["filter"] is None else ImageFilter(**body["filter"]),
        concept=body["concept"],
        split=body["split"],
    )
    if isinstance(done, JobRow):
        return Response(Job(done).data, status=status.HTTP_202_ACCEPTED)
    return Response(serializers.Change(_told(done)).data)


@extend_schema(request=None, responses=answers(200, serializers.Undone) | {202: Job})
@api_view(["POST"])
def change_undo(request: Request, slug: str, change_id: int) -> Response:
    """Take one back; what people did since, stays."""
    project = project_for(request.user, slug, REVIEWER)
    change = project.bulk_actions.select_related("project", "job").filter(pk=change_id).first()
    if change is None:
        raise Http404
    undone = bulk_undo(action=change, user=request.user)
    if isinstance(undone, JobRow):
        return Response(Job(undone).data, status=status.HTTP_202_ACCEPTED)
    return Response(serializers.Undone({"undone": undone[0], "left": undone[1]}).data)


def _told(change: Any) -> dict[str, Any]:
    return {"id": change.pk, "kind": change.kind, "done": change.done, "skipped": skipped_told(change)}
