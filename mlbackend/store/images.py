"""Images by content hash from the shared store; nothing else on disk can be named from outside."""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

import numpy as np

from mlbackend.errors import absent_image, store_away, unreadable_image
from mlbackend.store.buckets import Bucket, BucketError
from toolbox.files import write_bytes
from toolbox.pixels import PixelsError, pixels_read

log = logging.getLogger(__name__)
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
        return pixels_read(data, max_pixels=max_pixels)
    except PixelsError as error:
        raise ImageError(str(error)) from None
