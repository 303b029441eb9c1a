"""Where several replicas keep embeddings for each other: a folder that all of them mount, or an S3 bucket.

Nothing is evicted here: no replica knows what the others use. Whoever owns the place may delete files at any time.
Nothing is fsynced: an embedding carries its checksum, and whoever reads it looks.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Protocol

from mlbackend.store.buckets import SCHEME, Bucket
from toolbox.files import written_whole


class Shared(Protocol):
    """Every failure is an OSError."""

    def fetch(self, name: str, target: Path) -> bool:
        """Copy it to target, all of it or nothing; False if it is not there."""

    def store(self, name: str, source: Path) -> None:
        """Keep a copy, unless another replica has."""

    def discard(self, name: str) -> None:
        """It was damaged."""


def shared_at(place: str | None, endpoint: str | None) -> Shared | None:
    if place is None:
        return None
    return SharedBucket(Bucket(place, endpoint)) if place.startswith(SCHEME) else SharedFolder(Path(place).resolve())


class SharedFolder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def fetch(self, name: str, target: Path) -> bool:
        path = self._root / name
        if not path.is_file():
            return False
        with written_whole(target, lasting=False) as beside:
            shutil.copyfile(path, beside)
        with contextlib.suppress(OSError):  # its owner can tell by this what nobody uses
            os.utime(path)
        return True

    def store(self, name: str, source: Path) -> None:
        if not (self._root / name).exists():
            with written_whole(self._root / name, lasting=False) as beside:
                shutil.copyfile(source, beside)

    def discard(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)


class SharedBucket:
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def fetch(self, name: str, target: Path) -> bool:
        content = self._bucket.get(name)
        if content is None:
            return False
        with written_whole(target, lasting=False) as beside:
            beside.write_bytes(content)
        return True

    def store(self, name: str, source: Path) -> None:
        if not self._bucket.exists(name):
            self._bucket.put(name, source)

    def discard(self, name: str) -> None:
        self._bucket.delete(name)
