"""Originals under their SHA-256, read: from this machine, or fetched from the bucket first."""

import hashlib
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from django.conf import settings

from annotator.common.errors import RoostError
from toolbox.files import move_into_place

from . import buckets

CHUNK_BYTES = 1024 * 1024


def image_path(sha256: str) -> Path:
    """Where it lies, or would lie, on this machine."""
    return settings.IMAGES_DIR / sha256[:2] / sha256


def image_file(sha256: str) -> Path:
    """The file, fetched from the bucket if this machine does not have it; FileNotFoundError if nobody has."""
    path = image_path(sha256)
    if not path.exists():
        if not settings.IMAGES_BUCKET:
            raise FileNotFoundError(path)
        _fetch(sha256, path)
    return path


def incoming_path() -> Path:
    """Not beside its place, as everything else is written: the place is the hash, and that is known at the end."""
    return incoming_folder() / uuid.uuid4().hex


def incoming_folder() -> Path:
    folder = settings.IMAGES_DIR / "incoming"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def bucket_object(sha256: str) -> tuple[buckets.Place, str]:
    """The folder's layout, so that `aws s3 sync` of either to the other is right."""
    place = buckets.place_named(settings.IMAGES_BUCKET)
    return place, f"{place.prefix}{sha256[:2]}/{sha256}"


def _fetch(sha256: str, target: Path) -> None:
    """Into place only when its bytes have the hash that they are named by."""
    place, key = bucket_object(sha256)
    incoming, digest = incoming_path(), hashlib.sha256()
    try:
        with buckets.object_opened(place, key) as stream, incoming.open("wb") as file:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            words = f"s3://{place.bucket}/{key} has other bytes than its name says; delete it, then import it again."
            raise buckets.BucketError(words)
        move_into_place(incoming, target)
    except buckets.ObjectAbsentError:
        raise FileNotFoundError(f"s3://{place.bucket}/{key}") from None
    finally:
        incoming.unlink(missing_ok=True)


def images_fetch(*, sha256s: Iterable[str], on_progress: Callable[[int, int], object]) -> None:
    """Have these on this machine, for a process that reads the folder; `on_progress(done, total)` may raise to stop."""
    absent = [sha256 for sha256 in sha256s if not image_path(sha256).exists()]
    for done, sha256 in enumerate(absent):
        on_progress(done, len(absent))
        try:
            image_file(sha256)
        except FileNotFoundError as error:
            raise RoostError(f"The image {error} is gone; bring it back from a backup, or import it again.") from error
