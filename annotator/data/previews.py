"""Smaller copies of stored images, made once and kept beside them under VAR_DIR."""

from pathlib import Path

from django.conf import settings
from PIL import Image as Pixels

from toolbox.files import written_whole
from toolbox.pixels import picture_opened, rgb_upright

from .image_files import image_file

# A request is answered with the next size up, so that nobody can fill the disk with a thousand sizes.
SIDES_PX = (320, 1024, 2048)


def preview_path(sha256: str, *, side_px: int) -> Path:
    """A WebP no longer than the next of SIDES_PX a side; drawn upright, made on the first call."""
    side = next((known for known in SIDES_PX if known >= side_px), SIDES_PX[-1])
    path = settings.VAR_DIR / "previews" / str(side) / sha256[:2] / f"{sha256}.webp"
    if not path.exists():
        _make(image_file(sha256), path, side)
    return path


def _make(original: Path, path: Path, side_px: int) -> None:
    """Written beside and renamed: two requests at once both end with a whole file."""
    with picture_opened(original, max_pixels=settings.MAX_IMAGE_PIXELS, at_least_px=side_px) as image:
        upright = rgb_upright(image)
        upright.thumbnail((side_px, side_px), Pixels.Resampling.LANCZOS, reducing_gap=2.0)
        with written_whole(path) as beside:
            upright.save(beside, "WEBP", quality=82, method=2)
