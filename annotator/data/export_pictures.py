"""Pictures as an export carries them: the original's bytes, or upright pixels where a flag would turn them.

Masks are made for the upright picture, and many trainers do not look at the flag.
"""

import io
from pathlib import Path

from PIL import Image, ImageOps

from annotator.common.errors import RoostError

ORIENTATION = 0x0112
JPEG_QUALITY = 95


def upright_bytes(path: Path) -> bytes | None:
    """The picture written anew, upright and without its metadata; None where no flag turns it."""
    try:
        with Image.open(path) as picture:
            if picture.format == "PNG":
                picture.load()  # its EXIF may follow the pixels
            if picture.getexif().get(ORIENTATION, 1) in (0, 1):
                return None
            kind = "JPEG" if picture.format == "MPO" else str(picture.format)
            return _written(ImageOps.exif_transpose(picture), kind)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RoostError(f"The image {path.name} can't be written upright ({error}); export without images.") from error


def _written(picture: Image.Image, kind: str) -> bytes:
    """The colour profile stays, for the colours are made for it."""
    profile = picture.info.get("icc_profile")
    picture.info.clear()
    buffer = io.BytesIO()
    more = {"quality": JPEG_QUALITY} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    picture.save(buffer, format=kind, exif=b"", **({"icc_profile": profile} if profile else {}), **more)
    return buffer.getvalue()
