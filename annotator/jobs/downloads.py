"""Zips that jobs leave under EXPORTS_DIR for people to download."""

import os
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings


@contextmanager
def download_written(*, name: str, compression: int = zipfile.ZIP_STORED) -> Iterator[zipfile.ZipFile]:
    """Written beside, renamed when whole; a second run replaces the first one's file."""
    settings.EXPORTS_DIR.mkdir(parents=True, exist_ok=True)
    unfinished = settings.EXPORTS_DIR / f".{name}.{uuid.uuid4().hex[:8]}"
    try:
        with zipfile.ZipFile(unfinished, "w", compression) as archive:
            yield archive
        os.replace(unfinished, settings.EXPORTS_DIR / name)
    finally:
        unfinished.unlink(missing_ok=True)
