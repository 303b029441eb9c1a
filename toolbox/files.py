"""Write beside, fsync, rename: after an error, a kill or a power cut, what has the name is whole, the old or the new.

`lasting=False` leaves out the fsync, where the reader checks what it reads or nobody reads it after a power cut.
`alone=True` says that the target has one writer at a time: what a killed one left beside it is removed first.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SYNCS_AT_ONCE = 16


@contextmanager
def written_whole(target: Path, *, lasting: bool = True, alone: bool = False) -> Iterator[Path]:
    """A path beside target to write a file to; it takes target's name when the block ends, and is gone after an error.

    It is hidden and ends in .tmp: whoever lists the folder tells by that what is not finished.
    """
    make_folder(target.parent)
    with _beside(target, alone=alone) as beside:
        yield beside
        if lasting:
            move_into_place(beside, target)
        else:
            os.replace(beside, target)


@contextmanager
def folder_written_whole(target: Path, *, replace: bool = False, alone: bool = False) -> Iterator[Path]:
    """An empty folder beside target that takes its name when the block ends, with all that lies in it.

    A target that is there and not empty is an OSError, unless `replace`: then it goes just before.
    """
    make_folder(target.parent)
    with _beside(target, alone=alone) as beside:
        beside.mkdir()
        yield beside
        _sync_tree(beside)
        if replace:
            _remove(target)
        os.replace(beside, target)
        sync(target.parent)


def write_bytes(target: Path, content: bytes, *, lasting: bool = True, alone: bool = False) -> None:
    with written_whole(target, lasting=lasting, alone=alone) as beside:
        beside.write_bytes(content)


def write_text(target: Path, content: str, *, lasting: bool = True, alone: bool = False) -> None:
    write_bytes(target, content.encode(), lasting=lasting, alone=alone)


def write_json(
    target: Path, content: Any, *, indent: int | None = None, lasting: bool = True, alone: bool = False
) -> None:
    """ValueError for NaN and infinity, which are no JSON."""
    write_text(target, json.dumps(content, indent=indent, allow_nan=False) + "\n", lasting=lasting, alone=alone)


def move_into_place(written: Path, target: Path) -> None:
    """Give a finished file of the same file system its name, so that it has it after a power cut as well."""
    make_folder(target.parent)
    sync(written)
    os.replace(written, target)
    sync(target.parent)


def all_moved_into_place(targets: Mapping[Path, Path]) -> None:
    """`move_into_place` for many: asked for at the same time, a disk holds them in few turns, not in one for each."""
    folders = {target.parent for target in targets.values()}
    for folder in folders:
        make_folder(folder)
    if not targets:
        return
    with ThreadPoolExecutor(min(SYNCS_AT_ONCE, len(targets))) as pool:
        _sync_all(pool, targets)
        for written, target in targets.items():
            os.replace(written, target)
        _sync_all(pool, folders)


def _sync_all(pool: ThreadPoolExecutor, paths: Iterable[Path]) -> None:
    """Each thread takes its share: handing files over one by one costs more than the calls do."""
    every = list(paths)
    list(pool.map(_sync_each, [every[start::SYNCS_AT_ONCE] for start in range(SYNCS_AT_ONCE)]))


def _sync_each(paths: Iterable[Path]) -> None:
    for path in paths:
        sync(path)


def make_folder(folder: Path) -> None:
    """With its parents, each noted in the folder that it lies in."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def sync(path: Path) -> None:
    """Have the disk hold a file's content, or which names a folder has."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


@contextmanager
def _beside(target: Path, *, alone: bool) -> Iterator[Path]:
    if alone:
        for leftover in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 32}.tmp"):
            _remove(leftover)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield beside
    finally:
        _remove(beside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
