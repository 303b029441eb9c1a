"""The door to S3 buckets (toolbox/s3.py), by a place and a name below it. Every failure is an OSError."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from toolbox import s3
from toolbox.s3 import SCHEME

# A click may be waiting: two tries, and then it is better to encode the image again.
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 3, 20, 2


class BucketError(OSError):
    """The bucket, its server or our access to it is at fault; the message names the place."""


def check_place(variable: str, place: str) -> str | None:
    """Why this place can't be used, in a sentence; None if it can."""
    if s3.place_named(place) is None:
        return f"{variable}={place!r} names no bucket: write s3://bucket/prefix"
    if importlib.util.find_spec("boto3") is None:
        return f"{variable}={place} needs the package boto3: pip install -r requirements-scale.txt -c constraints.txt"
    return None


class Bucket:
    """Objects below one place, by name. Thread-safe."""

    def __init__(self, place: str, endpoint: str | None) -> None:
        named = s3.place_named(place)
        if named is None:
            raise ValueError(f"{place!r} names no bucket")
        self.place, self._place = place, named
        self._server = s3.Server(endpoint, CONNECT_SECONDS, READ_SECONDS, ATTEMPTS)

    def get(self, name: str) -> bytes | None:
        """The whole object; None if there is none."""
        with self._told(), suppress(s3.ObjectAbsent), self._server.open(*self._key(name)) as stream:
            return stream.read()
        return None

    def exists(self, name: str) -> bool:
        with self._told():
            return self._server.exists(*self._key(name))

    def put(self, name: str, source: Path) -> None:
        with self._told():
            self._server.put(*self._key(name), source)

    def delete(self, name: str) -> None:
        with self._told(), suppress(s3.ObjectAbsent):
            self._server.delete(*self._key(name))

    def _key(self, name: str) -> tuple[str, str]:
        return self._place.bucket, self._place.prefix + name

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except s3.S3Error as error:
            raise BucketError(f"{self.place}: {error}") from error


__all__ = ["SCHEME", "Bucket", "BucketError", "check_place"]
