"""Image files, for members of a project that has them: GET /media/<slug>/<sha256>[?preview=<side in pixels>]."""

from pathlib import Path

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse
from django.views.decorators.http import require_safe

from annotator.common.access import image_file_for

from .buckets import BucketError
from .image_files import image_file
from .previews import preview_path

MEDIA_TYPES = {"image/jpeg", "image/png", "image/webp", "image/bmp"}
# A file is named by its content, so it never changes under its address.
FOREVER = "private, max-age=31536000, immutable"


@require_safe
def media(request: HttpRequest, slug: str, sha256: str) -> HttpResponse:
    """The original byte for byte, or a preview. Signed out is 404 too: an <img> can't follow a log-in page."""
    image = image_file_for(request.user, slug, sha256)
    side = request.GET.get("preview", "")
    if side and not (side.isascii() and side.isdecimal() and 0 < int(side[:6]) <= 100_000):
        return _refused("preview is the longest side in pixels, a whole number from 1.")
    tag = f'"{sha256}-{side}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified()
    try:
        path = preview_path(sha256, side_px=int(side)) if side else image_file(sha256)
    except FileNotFoundError:
        raise Http404 from None
    except BucketError as error:
        return _refused(str(error), error.code, error.http_status)
    media_type = image.media_type if image.media_type in MEDIA_TYPES else "application/octet-stream"
    return _file(path, "image/webp" if side else media_type, tag)


def _file(path: Path, media_type: str, tag: str) -> FileResponse:
    response = FileResponse(path.open("rb"), content_type=media_type)
    response["Cache-Control"], response["ETag"] = FOREVER, tag
    if media_type == "application/octet-stream":
        response["Content-Disposition"] = "attachment"
    return response


def _refused(message: str, code: str = "bad_request", status: int = 400) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "message": message}}, status=status)
