"""What the browser sent, kept for the worker that imports it: one zip, or a folder of images; and its end."""

import os
import shutil
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from annotator.jobs.kinds import HOUR_SECONDS, sweep_every
from annotator.models import Job

# What was looked at and never imported, or broke off while it came, goes after this.
KEPT = timedelta(days=7)


def upload_keep(files: Sequence[UploadedFile]) -> Path:
    """Write the upload under UPLOADS_DIR in a folder of its own; the zip in it, or the folder with a file each.

    Files keep their names, for reports and refusals call them so. Two of one name both stay.
    """
    folder = settings.UPLOADS_DIR / uuid.uuid4().hex
    folder.mkdir(parents=True)
    if len(files) == 1 and str(files[0].name).lower().endswith(".zip"):
        return _write(files[0], folder / _file_name(files[0]))
    for number, file in enumerate(files):
        target = folder / _file_name(file)
        if target.exists():
            target = folder / str(number) / target.name
            target.parent.mkdir()
        _write(file, target)
    return folder


def upload_name(files: Sequence[UploadedFile]) -> str:
    """What to call the source when the person did not say: the zip's own name, else «upload»."""
    name = Path(str(files[0].name))
    return name.stem[:80] if len(files) == 1 and name.suffix.lower() == ".zip" else "upload"


def is_upload(where: Path | str) -> bool:
    return settings.UPLOADS_DIR.resolve() in Path(where).resolve().parents


def upload_delete(where: Path | str) -> None:
    """An upload has done its work; a folder or bucket that somebody named is theirs."""
    if is_upload(where):
        _remove(_kept_in(Path(where)))


def upload_forget(job: Job) -> None:
    """What a job was to read is of no use once it ended without a worker that could tidy up."""
    if path := job.params.get("path"):
        upload_delete(path)


def upload_used(where: Path | str) -> bool:
    """Whether what somebody looked at can still be imported; if so it is kept from now on as if it had just come."""
    if not is_upload(where):
        return True
    try:
        os.utime(_kept_in(Path(where)))
    except FileNotFoundError:
        return False
    return Path(where).exists()


@sweep_every(HOUR_SECONDS)
def uploads_expire() -> int:
    """Remove what lies there longer than KEPT and no job waits for; how many uploads that were."""
    oldest = time.time() - KEPT.total_seconds()
    due = [upload for upload, came_at in uploads_waiting() if came_at < oldest]
    # An import that was asked for since has touched its upload.
    due = [upload for upload in due if _came_at(upload) < oldest]
    for upload in due:
        _remove(upload)
    return len(due)


def uploads_waiting() -> list[tuple[Path, float]]:
    """Uploads that no job in flight reads, each with the time (seconds since 1970) since when."""
    if not settings.UPLOADS_DIR.is_dir():
        return []
    # Listed before the jobs are: what a job is made for meanwhile is not in the list.
    there = [(entry, _came_at(entry)) for entry in settings.UPLOADS_DIR.iterdir()]
    params = Job.objects.filter(state__in=Job.IN_FLIGHT).values_list("params__path", flat=True)
    read = {_kept_in(Path(path)) for path in params if isinstance(path, str) and is_upload(path)}
    return [(entry, came_at) for entry, came_at in there if entry.resolve() not in read]


def _came_at(entry: Path) -> float:
    try:
        return entry.lstat().st_mtime
    except FileNotFoundError:  # its job has ended since it was listed
        return time.time()


def _kept_in(where: Path) -> Path:
    """The entry of UPLOADS_DIR that holds it."""
    root = settings.UPLOADS_DIR.resolve()
    return root / where.resolve().relative_to(root).parts[0]


def _remove(upload: Path) -> None:
    if upload.is_dir():
        shutil.rmtree(upload, ignore_errors=True)
    else:
        upload.unlink(missing_ok=True)


def _file_name(file: UploadedFile) -> str:
    """Django has taken the folders off already; a name that is too long for a disk loses its start."""
    return Path(str(file.name)).name[-120:] or "unnamed"


def _write(file: UploadedFile, path: Path) -> Path:
    with path.open("wb") as target:
        for chunk in file.chunks():
            target.write(chunk)
    return path
