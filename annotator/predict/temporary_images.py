"""Pictures that lie in the image store only while the model looks at them.

The ML backend reads images by content hash from the store, and from nowhere else. So a picture that is to be predicted
on is put there through the same door as an import's, and taken out again if it was not there before. A note under
VAR_DIR/temporary-images tells them from the others; it is written before the file gets its name, so that a killed run
leaves none behind for good.

No import loses a file by this. An import's job is RUNNING before it stores a file and until its rows are committed; a
file is taken out first, and only then is looked for such a job, and for a row: where there is either, it is put back.
"""

import fcntl
import logging
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from django.conf import settings

from annotator.common.errors import RoostError
from annotator.data.image_store import Readable, StoredFile, image_file_remove, image_file_store
from annotator.models import Image, Job, Project

log = logging.getLogger(__name__)

LOCK = ".lock"


class TemporaryImages:
    """One run's. `store` may be called from several threads, `remove` from the one that has the database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def store(self, stream: Readable) -> StoredFile:
        return image_file_store(stream=stream, announce=self._note)

    def remove(self, sha256s: Iterable[str]) -> None:
        """Those of them that this run has stored, unless somebody has come to want them."""
        for sha256 in sha256s:
            note = self._folder / sha256
            if note.exists() and (_is_image(sha256) or self._is_gone(sha256)):
                note.unlink()

    def remove_all(self) -> None:
        """What can't be taken out now stays noted for the next run."""
        try:
            self.remove(sorted(path.name for path in self._folder.iterdir() if path.name != LOCK))
            if [path.name for path in self._folder.iterdir()] == [LOCK]:
                (self._folder / LOCK).unlink()
                self._folder.rmdir()
        except (RoostError, OSError) as error:
            log.warning("Some pictures stay in the image store until the next prediction: %s", error)

    @staticmethod
    def _is_gone(sha256: str) -> bool:
        """While an import runs, nothing is taken out; the end of the run, or the next one, comes back to it."""
        if _imports_run():
            return False
        return image_file_remove(sha256, is_wanted=lambda: _imports_run() or _is_image(sha256))

    def _note(self, sha256: str) -> None:
        (self._folder / sha256).touch()


@contextmanager
def temporary_images_opened() -> Iterator[TemporaryImages]:
    """Those of one run; what it leaves behind in a hurry, and what killed runs left, is taken out here."""
    root = settings.VAR_DIR / "temporary-images"
    root.mkdir(parents=True, exist_ok=True)
    with (root / LOCK).open("w") as gate:  # nobody takes a folder that is just made for a dead run's
        fcntl.flock(gate, fcntl.LOCK_EX)
        _remove_of_dead_runs(root)
        folder = root / uuid.uuid4().hex
        folder.mkdir()
        alive = _locked(folder)
    images = TemporaryImages(folder)
    try:
        yield images
    finally:
        images.remove_all()
        if alive:
            alive.close()


def _remove_of_dead_runs(root: Path) -> None:
    """A run holds its folder's lock for as long as its process lives."""
    for folder in root.iterdir():
        if folder.is_dir() and (lock := _locked(folder)):
            TemporaryImages(folder).remove_all()
            lock.close()


def _locked(folder: Path) -> IO[str] | None:
    """The folder's lock, to be kept open; None if somebody has it, or the folder went meanwhile."""
    try:
        lock = (folder / LOCK).open("w")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _is_image(sha256: str) -> bool:
    projects = list(Project.objects.values_list("pk", flat=True))  # the index is by project first
    return Image.with_trash.filter(project__in=projects, sha256=sha256).exists()


def _imports_run() -> bool:
    return Job.objects.filter(kind=Job.Kind.IMPORT, state=Job.State.RUNNING).exists()
