"""Zips that jobs leave under EXPORTS_DIR for people to download."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from toolbox.files import written_whole


@contextmanager
def download_written(*, name: str, compression: int = zipfile.ZIP_STORED) -> Iterator[zipfile.ZipFile]:
    """Written beside, renamed when whole; a second run replaces the first one's file, and what a killed one left.

    The name is one job's own: nobody else writes beside it.
    """
    with (
        written_whole(settings.EXPORTS_DIR / name, alone=True) as beside,
        zipfile.ZipFile(beside, "w", compression) as archive,
    ):
        yield archive
