"""Image files, for members of a project that has them: GET /media/<slug>/<sha256>[?preview=<side in pixels>]."""

from collections.abc import Callable
from pathlib import Path

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse
from django.views.decorators.http import require_safe

from annotator.previews import preview_path
from annotator.selectors.access import image_for
from annotator.services.image_store import image_path

MEDIA_TYPES = {"image/jpeg", "image/png", "image/webp", "image/bmp"}
# A file is named by its content, so it never changes under its address.
FOREVER = "private, max-age=31536000, immutable"


@require_safe
def media(request: HttpRequest, slug: str, sha256: str) -> HttpResponse:
    """The original byte for byte, or a preview. Signed out is 404 too: an <img> can't follow a log-in page."""
    image = image_for(request.user, slug, sha256)
    side = request.GET.get("preview", "")
    if side and not (side.isascii() and side.isdecimal() and 0 < int(side[:6]) <= 100_000):
        return _refused("preview is the longest side in pixels, a whole number from 1.")
    tag = f'"{sha256}-{side}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified()
    if side:
        return _file(_existing(preview_path, sha256, side_px=int(side)), "image/webp", tag)
    media_type = image.media_type if image.media_type in MEDIA_TYPES else "application/octet-stream"
    return _file(_existing(image_path, sha256), media_type, tag)


def _existing(find: Callable[..., Path], sha256: str, **size: int) -> Path:
    try:
        path = find(sha256, **size)
    except FileNotFoundError:
        raise Http404 from None
    if not path.exists():
        raise Http404
    return path


def _file(path: Path, media_type: str, tag: str) -> FileResponse:
    response = FileResponse(path.open("rb"), content_type=media_type)
    response["Cache-Control"], response["ETag"] = FOREVER, tag
    if media_type == "application/octet-stream":
        response["Content-Disposition"] = "attachment"
    return response


def _refused(message: str) -> JsonResponse:
    return JsonResponse({"error": {"code": "bad_request", "message": message}}, status=400)
