"""What the browser sent, kept for the worker that imports it: one zip, or a folder of images."""

import uuid
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile


def upload_keep(files: Sequence[UploadedFile]) -> Path:
    """Write the upload under UPLOADS_DIR; the zip itself, or a folder with a file each. Two of one name both stay."""
    folder = settings.UPLOADS_DIR / uuid.uuid4().hex
    if len(files) == 1 and str(files[0].name).lower().endswith(".zip"):
        settings.UPLOADS_DIR.mkdir(parents=True, exist_ok=True)
        return _write(files[0], folder.with_suffix(".zip"))
    folder.mkdir(parents=True)
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


def _file_name(file: UploadedFile) -> str:
    """Django has taken the folders off already; a name that is too long for a disk loses its start."""
    return Path(str(file.name)).name[-120:] or "unnamed"


def _write(file: UploadedFile, path: Path) -> Path:
    with path.open("wb") as target:
        for chunk in file.chunks():
            target.write(chunk)
    return path
