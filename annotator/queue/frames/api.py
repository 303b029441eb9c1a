"""Frames of settled scenes: what is offered, and confirming it."""

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import project_for
from annotator.common.api.bodies import answers, checked

from . import serializers
from .confirming import Shown, frames_confirm
from .offered import frames_offered


@extend_schema(methods=["GET"], responses=answers(200, serializers.OfferedFrame(many=True)))
@extend_schema(methods=["POST"], request=serializers.Confirmation, responses=answers(200, serializers.Confirmed))
@api_view(["GET", "POST"])
def frames(request: Request, slug: str) -> Response:
    """Near-identical frames of settled ones; POST answers those that the caller looked at and found the same."""
    project = project_for(request.user, slug)
    if request.method == "GET":
        found, _ = frames_offered(project=project, user=request.user)
        return Response(serializers.OfferedFrame(found, many=True, context={"project": project}).data)
    body = checked(request, serializers.Confirmation)
    shown = [Shown(**one) for one in body["frames"]]
    seconds = body["active_seconds"]
    outcomes = frames_confirm(project=project, user=request.user, frames=shown, active_seconds=seconds)
    return Response(serializers.Confirmed({"results": outcomes}).data)
