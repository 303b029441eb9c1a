"""Images and feeds over the API: what a camera's script needs."""

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view, parser_classes
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import ADMIN, project_for
from annotator.common.api.bodies import answers, checked
from annotator.common.errors import RoostError

from . import serializers
from .feed_import import POSTED_MOST, images_post
from .feeds import feed_add, feed_states


@extend_schema(request=serializers.PostImages, responses=answers(200, serializers.PostedImages))
@api_view(["POST"])
@parser_classes([MultiPartParser])
def images(request: Request, slug: str) -> Response:
    """Take in images, told file by file what came of each; they are mined, and queued where the model hesitates."""
    project = project_for(request.user, slug, ADMIN)
    source = checked(request, serializers.PostImages)["source"]
    files = request.FILES.getlist("images")
    if not files or len(files) > POSTED_MOST:
        words = f"Post 1 to {POSTED_MOST} files, each as a part called images."
        raise RoostError(words, fields={"images": ["None, or too many."]})
    if sum(file.size for file in files) > settings.MAX_UPLOAD_BYTES:
        raise RoostError(f"That is more than {settings.MAX_UPLOAD_BYTES:,} bytes at once.", code="too_large")
    told = images_post(project=project, files=[(str(file.name), file) for file in files], source=source)
    return Response(serializers.PostedImages({"files": told}).data)


@extend_schema(methods=["GET"], responses=answers(200, serializers.Feed(many=True)))
@extend_schema(methods=["POST"], request=serializers.NewFeed, responses=answers(201, serializers.Feed))
@api_view(["GET", "POST"])
def feeds(request: Request, slug: str) -> Response:
    """The feeds and how far each is; POST watches a folder or bucket that the server's owner has opened."""
    if request.method == "GET":
        states = feed_states(project=project_for(request.user, slug))
        return Response(serializers.Feed(states, many=True).data)
    project = project_for(request.user, slug, ADMIN)
    feed = feed_add(project=project, user=request.user, **checked(request, serializers.NewFeed))
    (state,) = [one for one in feed_states(project=project) if one.feed.pk == feed.pk]
    return Response(serializers.Feed(state).data, status=status.HTTP_201_CREATED)
