"""The door to S3 buckets, and the only user of boto3, which is imported when a bucket is first asked for.

A place is written `s3://bucket/prefix` and means what lies below `prefix/`. The server is ROOST_S3_ENDPOINT, else what
boto3 takes (AWS_ENDPOINT_URL, Amazon); who we are is found as boto3 does. Every failure is a BucketError.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from django.conf import settings

from annotator.common.errors import ImportRefusedError, RoostError

from .formats.records import Problem

SCHEME = "s3://"
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 60, 4
ABSENT = {"404", "NoSuchKey", "NotFound"}
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


@dataclass(frozen=True)
class Place:
    """`prefix` ends with a slash, or is empty for the whole bucket."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}"


def is_bucket(where: object) -> bool:
    return str(where).startswith(SCHEME)


def place_named(url: str) -> Place:
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    if not is_bucket(url) or not bucket:
        raise BucketError(f"{url!r} names no bucket; write s3://bucket/prefix.", http_status=400)
    prefix = prefix.strip("/")
    return Place(bucket, f"{prefix}/" if prefix else "")


def keys_listed(place: Place) -> Iterator[str]:
    """Keys below the place, in the order of their bytes; `folders` that some tools make are left out."""
    with _told(place):
        pages = _client().get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.prefix)
        for page in pages:
            yield from (row["Key"] for row in page.get("Contents", ()) if not row["Key"].endswith("/"))


def object_exists(place: Place, key: str) -> bool:
    try:
        with _told(place):
            _client().head_object(Bucket=place.bucket, Key=key)
    except ObjectAbsentError:
        return False
    return True


def object_put(place: Place, key: str, path: Path) -> None:
    with _told(place), path.open("rb") as file:
        _client().put_object(Bucket=place.bucket, Key=key, Body=file)


def object_delete(place: Place, key: str) -> None:
    with _told(place):
        _client().delete_object(Bucket=place.bucket, Key=key)


def object_opened(place: Place, key: str) -> "ObjectStream":
    """ObjectAbsentError when there is none."""
    with _told(place):
        return ObjectStream(place, _client().get_object(Bucket=place.bucket, Key=key)["Body"])


class ObjectAbsentError(ImportRefusedError):
    """This one object is not there; the bucket is."""

    code = "absent_object"


class ObjectStream:
    """An object's bytes as they come; a server that goes away half-way is a BucketError, never a short file."""

    def __init__(self, place: Place, body: Any) -> None:
        self._place, self._body = place, body

    def read(self, size: int = -1, /) -> bytes:
        with _told(self._place):
            return self._body.read(size if size >= 0 else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._body.close()


class BucketSource:
    """What lies below a place, as a source of images (annotator/data/sources.py)."""

    def __init__(self, url: str) -> None:
        self._place = place_named(url)
        start = len(self._place.prefix)
        self.problems: list[Problem] = []
        self.names = [key[start:] for key in keys_listed(self._place)]
        if not self.names:
            raise ImportRefusedError(f"There is nothing in {self._place}; check the bucket and the prefix.")

    def open(self, name: str) -> ObjectStream:
        return object_opened(self._place, self._place.prefix + name)


_clients: dict[tuple, Any] = {}
_clients_lock = threading.Lock()


def _client() -> Any:
    """One a process and server; boto3's clients may be shared by threads, not by a fork."""
    import boto3
    from botocore.config import Config

    key = (os.getpid(), settings.S3_ENDPOINT, os.environ.get("AWS_ACCESS_KEY_ID"))
    with _clients_lock:
        if key not in _clients:
            config = Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                # Servers other than Amazon's need not know checksums, nor a host name for each bucket.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path" if settings.S3_ENDPOINT else "auto"},
            )
            session = boto3.session.Session()
            _clients[key] = session.client("s3", endpoint_url=settings.S3_ENDPOINT or None, config=config)
        return _clients[key]


@contextmanager
def _told(place: Place) -> Iterator[None]:
    """boto3's exceptions as sentences."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
    except ImportError:
        words = "Buckets need the package boto3: pip install -r requirements-scale.txt -c constraints.txt"
        raise BucketError(words, code="absent_package") from None
    try:
        yield
    except ClientError as error:
        raise _refusal(place, error.response.get("Error", {})) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        words = f"There are no credentials for {_server()}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        raise BucketError(words) from error
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no address
        words = f"No whole answer came from {_server()} ({error}). Is ROOST_S3_ENDPOINT right, and does it run?"
        raise BucketError(words) from error


def _refusal(place: Place, error: dict[str, Any]) -> RoostError:
    code = str(error.get("Code", ""))
    if code in ABSENT:
        return ObjectAbsentError(f"It is not in {place} (any more).")
    words = REFUSALS.get(code, "{server} refused: {message} ({code}).")
    words = words.format(server=_server(), bucket=place.bucket, message=error.get("Message"), code=code)
    return BucketError(words[0].upper() + words[1:])


def _server() -> str:
    return f"the S3 server {settings.S3_ENDPOINT}" if settings.S3_ENDPOINT else "Amazon S3"
