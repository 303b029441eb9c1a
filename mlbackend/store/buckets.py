"""The door to S3 buckets, and the only user of boto3, which is imported when a bucket is configured.

A place is written `s3://bucket/prefix`. The server is ROOST_S3_ENDPOINT, else what boto3 takes; so are the credentials.
"""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any

SCHEME = "s3://"
# A click may be waiting: two tries, and then it is better to encode the image again.
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 3, 20, 2
ABSENT = {"404", "NoSuchKey", "NotFound"}


class BucketError(OSError):
    """The bucket, its server or our access to it is at fault; the message names the place."""


def check_place(variable: str, place: str) -> str | None:
    """Why this place can't be used, in a sentence; None if it can."""
    if not place.startswith(SCHEME) or not place.removeprefix(SCHEME).partition("/")[0]:
        return f"{variable}={place!r} names no bucket: write s3://bucket/prefix"
    if importlib.util.find_spec("boto3") is None:
        return f"{variable}={place} needs the package boto3: pip install -r requirements-scale.txt -c constraints.txt"
    return None


class Bucket:
    """Objects below one place, by name. Thread-safe."""

    def __init__(self, place: str, endpoint: str | None) -> None:
        self.place, self._endpoint = place, endpoint
        self._bucket, _, prefix = place.removeprefix(SCHEME).partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._lock = threading.Lock()
        self._made: Any = None

    def get(self, name: str) -> bytes | None:
        """The whole object; None if there is none."""
        return self._ask(lambda client, where: client.get_object(**where)["Body"].read(), name)

    def exists(self, name: str) -> bool:
        return self._ask(lambda client, where: client.head_object(**where), name) is not None

    def put(self, name: str, source: Path) -> None:
        with source.open("rb") as file:
            self._ask(lambda client, where: client.put_object(**where, Body=file), name)

    def delete(self, name: str) -> None:
        self._ask(lambda client, where: client.delete_object(**where), name)

    def _ask(self, call: Any, name: str) -> Any:
        """The call's answer, None where the object is absent; every failure is a BucketError."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call(self._client(), {"Bucket": self._bucket, "Key": self._prefix + name})
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ABSENT:
                return None
            raise BucketError(f"{self.place}: {error}") from error
        except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no address
            raise BucketError(f"{self.place}: {error}") from error

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                import boto3
                from botocore.config import Config

                config = Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                    # Servers other than Amazon's need not know checksums, nor a host name for each bucket.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={"addressing_style": "path" if self._endpoint else "auto"},
                )
                self._made = boto3.session.Session().client("s3", endpoint_url=self._endpoint, config=config)
            return self._made
