"""Pictures, for members of a project that has them: GET /media/<slug>/<sha256>[?preview=<side in px>|?original=1]."""

from pathlib import Path

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse
from django.views.decorators.http import require_safe

from annotator.common.access import image_file_for
from toolbox.pixels import PixelsError

from .buckets import BucketError
from .image_files import image_file
from .previews import preview_path
from .renderings import full_picture

MEDIA_TYPES = {"image/jpeg", "image/png", "image/webp", "image/bmp"}
# A file is named by its content, so it never changes under its address.
FOREVER = "private, max-age=31536000, immutable"


@require_safe
def media(request: HttpRequest, slug: str, sha256: str) -> HttpResponse:
    """The picture as people and models see it: whole, or a preview; or the original byte for byte.

    The whole picture is the original where browsers show that alike. Signed out is 404 too: an <img> can't follow a
    log-in page.
    """
    image = image_file_for(request.user, slug, sha256)
    side = request.GET.get("preview", "")
    if side and not (side.isascii() and side.isdecimal() and 0 < int(side[:6]) <= 100_000):
        return _refused("preview is the longest side in pixels, a whole number from 1.")
    tag = f'"{sha256}-{side}{"-original" if "original" in request.GET else ""}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified()
    try:
        path, drawn = _drawn(sha256, side, "original" in request.GET)
    except FileNotFoundError:
        raise Http404 from None
    except BucketError as error:
        return _refused(str(error), error.code, error.http_status)
    except PixelsError as error:
        return _refused(f"{image.original_name} can't be drawn: {error}.", "unreadable_image", 422)
    kept = image.media_type if image.media_type in MEDIA_TYPES else "application/octet-stream"
    return _file(path, drawn or kept, tag)


def _drawn(sha256: str, side: str, is_original: bool) -> tuple[Path, str]:
    """The file, and its media type where it is not the original."""
    if side:
        return preview_path(sha256, side_px=int(side)), "image/webp"
    return (image_file(sha256), "") if is_original else full_picture(sha256)


def _file(path: Path, media_type: str, tag: str) -> FileResponse:
    response = FileResponse(path.open("rb"), content_type=media_type)
    response["Cache-Control"], response["ETag"] = FOREVER, tag
    if media_type == "application/octet-stream":
        response["Content-Disposition"] = "attachment"
    return response


def _refused(message: str, code: str = "bad_request", status: int = 400) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "message": message}}, status=status)
