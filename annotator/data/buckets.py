"""The door to S3 buckets (toolbox/s3.py), in words for a person. Every failure is a BucketError.

The server is ROOST_S3_ENDPOINT, else what boto3 takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from django.conf import settings

from annotator.common.errors import ImportRefusedError, RoostError
from toolbox import s3
from toolbox.s3 import SCHEME, Place

from .formats.records import Problem

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 60, 4
REFUSALS = {
    "NoSuchBucket": "There is no bucket {bucket!r} at {server}; check its name.",
    "AccessDenied": "{server} forbids this in bucket {bucket!r}; ask its owner for the right to read (and write) it.",
    "403": "{server} forbids this in bucket {bucket!r}; check the credentials and their rights.",
    "InvalidAccessKeyId": "{server} does not know the access key; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "SignatureDoesNotMatch": "{server} refuses the secret key; check AWS_SECRET_ACCESS_KEY.",
    "ExpiredToken": "The credentials for {server} have expired; renew them.",
}


class BucketError(RoostError):
    """The bucket or its server can't do what was asked; no single image is to blame."""

    code = "bucket_unavailable"
    http_status = 502


def is_bucket(where: object) -> bool:
    return str(where).startswith(SCHEME)


def place_named(url: str) -> Place:
    place = s3.place_named(url)
    if place is None:
        raise BucketError(f"{url!r} names no bucket; write s3://bucket/prefix.", http_status=400)
    return place


def keys_listed(place: Place) -> Iterator[str]:
    """Keys below the place, in the order of their bytes; `folders` that some tools make are left out."""
    with _told(place):
        yield from _server().keys(place)


def object_exists(place: Place, key: str) -> bool:
    with _told(place):
        return _server().exists(place.bucket, key)


def object_put(place: Place, key: str, path: Path) -> None:
    with _told(place):
        _server().put(place.bucket, key, path)


def object_delete(place: Place, key: str) -> None:
    with _told(place):
        _server().delete(place.bucket, key)


def object_opened(place: Place, key: str) -> "ObjectStream":
    """ObjectAbsentError when there is none."""
    with _told(place):
        return ObjectStream(place, _server().open(place.bucket, key))


class ObjectAbsentError(ImportRefusedError):
    """This one object is not there; the bucket is."""

    code = "absent_object"


class ObjectStream:
    """An object's bytes as they come; a server that goes away half-way is a BucketError, never a short file."""

    def __init__(self, place: Place, stream: s3.ObjectStream) -> None:
        self._place, self._stream = place, stream

    def read(self, size: int = -1, /) -> bytes:
        with _told(self._place):
            return self._stream.read(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.__exit__(*error)


class BucketSource:
    """What lies below a place, as a source of images (annotator/data/sources.py).

    `may_be_empty`: a place that is watched may still be waiting for its first image; to an import it is a misspelling.
    """

    def __init__(self, url: str, *, may_be_empty: bool = False) -> None:
        self._place = place_named(url)
        start = len(self._place.prefix)
        self.problems: list[Problem] = []
        self.names = [key[start:] for key in keys_listed(self._place)]
        if not self.names and not may_be_empty:
            raise ImportRefusedError(f"There is nothing in {self._place}; check the bucket and the prefix.")

    def open(self, name: str) -> ObjectStream:
        return object_opened(self._place, self._place.prefix + name)


def _server() -> s3.Server:
    return s3.Server(settings.S3_ENDPOINT or None, CONNECT_SECONDS, READ_SECONDS, ATTEMPTS)


@contextmanager
def _told(place: Place) -> Iterator[None]:
    """The client's errors as sentences."""
    try:
        yield
    except s3.ObjectAbsent as error:
        raise ObjectAbsentError(f"It is not in {place} (any more).") from error
    except s3.PackageAbsent:
        words = "Buckets need the package boto3: pip install -r requirements-scale.txt -c constraints.txt"
        raise BucketError(words, code="absent_package") from None
    except s3.S3Error as error:
        raise BucketError(_words(place, error)) from error


def _words(place: Place, error: s3.S3Error) -> str:
    if isinstance(error, s3.Refused):
        words = REFUSALS.get(error.code, "{server} refused: {message} ({code}).")
        words = words.format(server=_shown(), bucket=place.bucket, message=error.message, code=error.code)
        return words[0].upper() + words[1:]
    if isinstance(error, s3.NoCredentials):
        return f"There are no credentials for {_shown()}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    return f"No whole answer came from {_shown()} ({error}). Is ROOST_S3_ENDPOINT right, and does it run?"


def _shown() -> str:
    return f"the S3 server {settings.S3_ENDPOINT}" if settings.S3_ENDPOINT else "Amazon S3"
