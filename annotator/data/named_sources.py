"""Sources that somebody named: a folder or zip of this machine, or `s3://bucket/prefix`.

On the command line any may be named: who can run commands can read the disk anyway. A person on a page or with a
token gets only what the server's owner has opened: folders below ROOST_SOURCES, buckets of ROOST_BUCKETS.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings

from annotator.common.errors import RoostError

from .buckets import BucketError, is_bucket, place_named
from .sources import ImportSource, source_opened
from .uploads import is_upload


def source_name(where: Path | str) -> str:
    """What to call it where there is no room for the whole: its last part."""
    return str(where).rstrip("/").rsplit("/", 1)[-1]


def source_shown(where: Path | str) -> str:
    """In words for a person: files that were sent together have no name of their own."""
    return "what was sent" if is_upload(where) and Path(where).is_dir() else source_name(where)


def source_full(text: str) -> str:
    """As a job keeps it: independent of the folder that a command was called in."""
    return text if is_bucket(text) else str(Path(text).resolve())


def sources_open() -> list[str]:
    """What people may name, for a form's sake."""
    return [*(str(root) for root in _roots()), *(f"s3://{entry.strip('/')}/" for entry in settings.BUCKETS)]


def source_allowed(text: str) -> str:
    """The whole name of a source that a person may use; RoostError says what would have to be opened, and how."""
    text = text.strip()
    return _allowed_bucket(text) if is_bucket(text) else _allowed_folder(text)


@contextmanager
def source_of_job(params: dict[str, Any], *, may_be_empty: bool = False) -> Iterator[ImportSource]:
    """Open what a job was told to read; what a person named is looked at again, for links change."""
    where = source_allowed(params["path"]) if params.get("named_by_person") else params["path"]
    with source_opened(where, may_be_empty=may_be_empty) as source:
        yield source


def _roots() -> list[Path]:
    return [Path(root).resolve() for root in settings.SOURCES]


def _allowed_folder(text: str) -> str:
    """Links are followed before the look at where it lies; what lies elsewhere is not even looked for."""
    roots = _roots()
    if not roots:
        _refuse("No folder of the server may be read. Who runs it opens one with ROOST_SOURCES=/path/of/pictures.")
    try:
        path = Path(text).resolve() if text.startswith("/") else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a circle
        path = None
    if path is None or not any(path.is_relative_to(root) for root in roots):
        _refuse(f"Only folders below {', '.join(map(str, roots))} may be read; write the whole path.")
    if not os.path.exists(path):  # False, where Path.exists() raises: a name too long
        _refuse(f"There is no {text} on the server.", status=400)
    return str(path)


def _allowed_bucket(url: str) -> str:
    try:
        place = place_named(url)
    except BucketError as error:
        _refuse(str(error), status=400)
    if not settings.BUCKETS:
        _refuse("No bucket may be read. Who runs the server opens one with ROOST_BUCKETS=name or name/prefix.")
    if not any(f"{place.bucket}/{place.prefix}".startswith(f"{entry.strip('/')}/") for entry in settings.BUCKETS):
        _refuse(f"Of buckets, only {', '.join(settings.BUCKETS)} may be read.")
    return str(place)


def _refuse(words: str, *, status: int = 403) -> NoReturn:
    raise RoostError(words, code="source_refused", http_status=status)
