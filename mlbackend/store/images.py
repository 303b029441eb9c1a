"""Images by content hash from the shared store; nothing else on disk can be named from outside."""

from __future__ import annotations

import hashlib
import logging
import re
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mlbackend.errors import absent_image, store_away, unreadable_image
from mlbackend.store.buckets import Bucket, BucketError
from toolbox.files import write_bytes

log = logging.getLogger(__name__)
ROWS_AT_ONCE = 256  # 2 to 4 ms for 8000 columns, in which nothing else of this process runs
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
SHA256 = re.compile(r"[0-9a-f]{64}")


class ImageError(Exception):
    """The bytes are not an image that we decode; the message is the reason."""


def image_path(images_dir: Path, sha256: str) -> Path:
    if not SHA256.fullmatch(sha256):
        raise absent_image(sha256[:80])
    return images_dir / sha256[:2] / sha256


def read_image(images_dir: Path, sha256: str, *, max_pixels: int, bucket: Bucket | None = None) -> np.ndarray:
    """RGB uint8 (H, W, 3), upright (EXIF applied); ApiError absent_image or unreadable_image."""
    path = image_path(images_dir, sha256)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if bucket is None:
            raise absent_image(sha256) from None
        data = _fetch(bucket, sha256, path)
    except OSError as error:
        raise unreadable_image(sha256, f"the file cannot be read ({error.strerror})") from None
    _check_content(data, sha256)
    try:
        return decode_image(data, max_pixels=max_pixels)
    except ImageError as error:
        raise unreadable_image(sha256, str(error)) from None


def _check_content(data: bytes, sha256: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise unreadable_image(sha256, "the stored file has other content than its name says")


def _fetch(bucket: Bucket, sha256: str, path: Path) -> bytes:
    """From the bucket that has the folder's layout; kept in the folder, where the disk lets us."""
    try:
        data = bucket.get(f"{sha256[:2]}/{sha256}")
    except BucketError as error:
        raise store_away(sha256, str(error)) from error
    if data is None:
        raise absent_image(sha256)
    _check_content(data, sha256)
    try:
        write_bytes(path, data)
    except OSError as error:
        log.warning("image %s is not kept here: %s", sha256, error)
    return data


def decode_image(data: bytes, *, max_pixels: int) -> np.ndarray:
    """Decode the first frame of a JPEG, PNG, WEBP, BMP or TIFF; the size is checked before any pixel is made."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise ImageError(f"it has {image.width} x {image.height} pixels, more than the {max_pixels} allowed")
            image.load()
            return _upright_rgb(image)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"it is none of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"it is too large ({error})") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on hostile files
        raise ImageError(f"it is damaged or cut short ({type(error).__name__}: {error})") from None


def _upright_rgb(image: Image.Image) -> np.ndarray:
    """Without a copy that is not needed: each takes 0.1 s of 48 megapixels, and stops every other thread meanwhile."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):  # 16-bit grey: convert("RGB") would clip it to white
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65_535) // 257).astype(np.uint8))
    if image.mode != "RGB":
        image = image.convert("RGB")
    pixels_HWC = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, ROWS_AT_ONCE):
        strip = image.crop((0, top, image.width, min(top + ROWS_AT_ONCE, image.height)))
        pixels_HWC[top : top + ROWS_AT_ONCE] = np.asarray(strip)
    return pixels_HWC
