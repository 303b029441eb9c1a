"""Whole pictures as people and models see them, where the file itself would be shown otherwise. Made once and kept."""

from functools import lru_cache
from pathlib import Path

from django.conf import settings
from PIL import Image as Pixels

from toolbox.files import written_whole
from toolbox.pixels import is_shown_alike, picture_opened, rgb_upright

from .image_files import image_file

PNG_EFFORT = 1  # of 9: twice as fast as usual, a tenth larger


def full_picture(sha256: str) -> tuple[Path, str]:
    """What a browser is to be sent, and its media type: the file itself ("") where browsers show its very pixels."""
    path = _kept("full", sha256, ".png")
    if path.exists():
        return path, "image/png"
    original = image_file(sha256)
    if _is_shown_alike(sha256):
        return original, ""
    with picture_opened(original, max_pixels=settings.MAX_IMAGE_PIXELS) as image:
        _write(rgb_upright(image), path, "PNG", compress_level=PNG_EFFORT)
    return path, "image/png"


# A picture never changes under its hash, so the answers never do.
@lru_cache(maxsize=100_000)
def _is_shown_alike(sha256: str) -> bool:
    with picture_opened(image_file(sha256), max_pixels=settings.MAX_IMAGE_PIXELS, at_least_px=1) as image:
        return is_shown_alike(image)


def _kept(kind: str, sha256: str, ending: str) -> Path:
    return settings.VAR_DIR / "previews" / kind / sha256[:2] / f"{sha256}{ending}"


def _write(image: Pixels.Image, path: Path, form: str, **options: object) -> None:
    """Written beside and renamed: two requests at once both end with a whole file."""
    with written_whole(path, lasting=False) as beside:
        image.save(beside, form, **options)
