"""Objects in S3 buckets, and the only user of boto3, which is imported when a bucket is first asked for.

A place is written `s3://bucket/prefix` and means what lies below `prefix/`. The server is the endpoint, else what boto3
takes (AWS_ENDPOINT_URL, Amazon); who we are is found as boto3 does. Every failure is an S3Error.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

SCHEME = "s3://"
ABSENT = {"404", "NoSuchKey", "NotFound"}


class S3Error(Exception):
    """It says what boto3 says; what a person should do is for the caller to say."""


class PackageAbsent(S3Error):
    """boto3 is not installed."""


class ObjectAbsent(S3Error):
    """This one object is not there; the bucket is."""


class Refused(S3Error):
    """By the server, with S3's code and its message."""

    def __init__(self, words: str, code: str, message: str) -> None:
        super().__init__(words)
        self.code, self.message = code, message


class NoCredentials(S3Error):
    """None were found, or only a part."""


class NoWholeAnswer(S3Error):
    """The server is away, went half-way, or its address is none."""


@dataclass(frozen=True)
class Place:
    """`prefix` ends with a slash, or is empty for the whole bucket."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}"


def place_named(url: str) -> Place | None:
    """None for what names no bucket."""
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    if not url.startswith(SCHEME) or not bucket:
        return None
    prefix = prefix.strip("/")
    return Place(bucket, f"{prefix}/" if prefix else "")


@dataclass(frozen=True)
class Server:
    """`endpoint`: None for what boto3 takes."""

    endpoint: str | None
    connect_s: float
    read_s: float
    attempts: int

    def keys(self, place: Place) -> Iterator[str]:
        """Below the place, in the order of their bytes; `folders` that some tools make are left out."""
        with _told():
            pages = _client(self).get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.prefix)
            for page in pages:
                yield from (row["Key"] for row in page.get("Contents", ()) if not row["Key"].endswith("/"))

    def exists(self, bucket: str, key: str) -> bool:
        try:
            with _told():
                _client(self).head_object(Bucket=bucket, Key=key)
        except ObjectAbsent:
            return False
        return True

    def put(self, bucket: str, key: str, source: Path) -> None:
        with _told(), source.open("rb") as file:
            _client(self).put_object(Bucket=bucket, Key=key, Body=file)

    def delete(self, bucket: str, key: str) -> None:
        with _told():
            _client(self).delete_object(Bucket=bucket, Key=key)

    def open(self, bucket: str, key: str) -> "ObjectStream":
        """ObjectAbsent when there is none."""
        with _told():
            return ObjectStream(_client(self).get_object(Bucket=bucket, Key=key)["Body"])


class ObjectStream:
    """An object's bytes as they come; a server that goes away half-way is an S3Error, never a short file."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int = -1, /) -> bytes:
        with _told():
            return self._body.read(size if size >= 0 else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._body.close()


_clients: dict[tuple, Any] = {}
_clients_lock = threading.Lock()


def _client(server: Server) -> Any:
    """One a process and server; boto3's clients may be shared by threads, not by a fork."""
    key = (os.getpid(), server, os.environ.get("AWS_ACCESS_KEY_ID"))
    with _clients_lock:
        if key not in _clients:
            _clients[key] = _made(server)
        return _clients[key]


def _made(server: Server) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=server.connect_s,
        read_timeout=server.read_s,
        retries={"total_max_attempts": server.attempts, "mode": "standard"},
        # Servers other than Amazon's need not know checksums, nor a host name for each bucket.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if server.endpoint else "auto"},
    )
    return boto3.session.Session().client("s3", endpoint_url=server.endpoint, config=config)


@contextmanager
def _told() -> Iterator[None]:
    """boto3's exceptions as ours."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
    except ImportError:
        raise PackageAbsent("boto3 is not installed") from None
    try:
        yield
    except ClientError as error:
        raise _refusal(error) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise NoCredentials(str(error)) from error
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no address
        raise NoWholeAnswer(str(error)) from error


def _refusal(error: Any) -> S3Error:
    told = error.response.get("Error", {})
    code = str(told.get("Code", ""))
    return ObjectAbsent(str(error)) if code in ABSENT else Refused(str(error), code, told.get("Message"))
