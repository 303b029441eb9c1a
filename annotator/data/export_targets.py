"""Where an export's files go: a zip among the downloads, a folder of this machine, or a bucket."""

import hashlib
import json
import logging
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from django.conf import settings

from annotator.common.errors import RoostError
from annotator.jobs.downloads import download_written
from toolbox.files import folder_written_whole

from .buckets import BucketError, Place, is_bucket, keys_listed, object_delete, object_put, place_named

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"


class _Place(Protocol):
    """`deflate`: text, which shrinks; pictures do not."""

    def put(self, path: str, pieces: Iterator[bytes], deflate: bool) -> None: ...

    def copy(self, path: str, file: Path) -> None: ...


class Target:
    """Takes an export's files one after the other. `sums`: SHA-256 of each annotation file, `bytes`: of all."""

    def __init__(self, place: _Place) -> None:
        self._place = place
        self.sums: dict[str, str] = {}
        self.bytes = 0

    def text(self, path: str, text: str) -> None:
        self.pieces(path, iter([text.encode()]))

    def pieces(self, path: str, pieces: Iterator[bytes]) -> None:
        digest = hashlib.sha256()
        self._place.put(path, self._counted(pieces, digest), True)
        self.sums[path] = digest.hexdigest()

    def picture(self, path: str, file: Path, instead: bytes | None) -> None:
        """`instead`: other bytes than the file's."""
        if instead is not None:
            self._place.put(path, iter([instead]), False)
            self.bytes += len(instead)
        else:
            self._place.copy(path, file)
            self.bytes += file.stat().st_size

    def _counted(self, pieces: Iterator[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
        for piece in pieces:
            digest.update(piece)
            self.bytes += len(piece)
            yield piece


@contextmanager
def target_opened(where: str, *, download: str, job: int) -> Iterator[Target]:
    """`where`: a folder, `s3://bucket/prefix`, or empty for the zip `download`. All or none, as far as buckets can."""
    if is_bucket(where):
        bucket = _Bucket(place_named(where))
        try:
            yield Target(bucket)
        except BaseException:
            bucket.take_back()
            raise
    elif where:
        folder = Path(where)
        _check_folder(folder, job)
        with folder_written_whole(folder, replace=True) as beside:
            yield Target(_Folder(beside))
    else:
        with download_written(name=download) as archive:
            yield Target(_Zip(archive))


def target_check(where: str) -> None:
    """RoostError where something lies already: nothing is overwritten."""
    if is_bucket(where):
        if next(keys_listed(place_named(where)), None) is not None:
            raise RoostError(f"Something lies in {where} already; name a prefix of its own for this export.")
    elif where:
        _check_folder(Path(where), job=None)


def _check_folder(folder: Path, job: int | None) -> None:
    """A job that is run again may replace what it wrote itself."""
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not _written_by(folder, job)):
        raise RoostError(f"{folder} is there already and not empty; name a new folder for this export.")


def _written_by(folder: Path, job: int | None) -> bool:
    try:
        return job is not None and json.loads((folder / MANIFEST).read_text()).get("job") == job
    except (OSError, ValueError, AttributeError):
        return False


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def put(self, path: str, pieces: Iterator[bytes], deflate: bool) -> None:
        entry = zipfile.ZipInfo(path, time.localtime()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
        entry.external_attr = 0o644 << 16
        with self._archive.open(entry, "w", force_zip64=True) as file:
            for piece in pieces:
                file.write(piece)

    def copy(self, path: str, file: Path) -> None:
        self._archive.write(file, path, zipfile.ZIP_STORED)


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, path: str, pieces: Iterator[bytes], deflate: bool) -> None:
        with self._made(path).open("wb") as file:
            file.writelines(pieces)

    def copy(self, path: str, file: Path) -> None:
        shutil.copyfile(file, self._made(path))

    def _made(self, path: str) -> Path:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


class _Bucket:
    """Each object is there whole or not at all, and the manifest comes last: an export that has none is not whole."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._written: list[str] = []

    def put(self, path: str, pieces: Iterator[bytes], deflate: bool) -> None:
        settings.EXPORTS_DIR.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=settings.EXPORTS_DIR, prefix=".", suffix=".tmp") as file:
            file.writelines(pieces)
            file.flush()
            self.copy(path, Path(file.name))

    def copy(self, path: str, file: Path) -> None:
        key = self._place.prefix + path
        object_put(self._place, key, file)
        self._written.append(key)

    def take_back(self) -> None:
        """What a failed export wrote; a bucket that forbids it, or is away, keeps it, and no manifest."""
        try:
            for key in reversed(self._written):
                object_delete(self._place, key)
        except BucketError:
            log.warning("Objects of an export that failed stay in %s.", self._place, exc_info=True)
