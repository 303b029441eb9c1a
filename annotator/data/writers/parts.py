"""What every writer is given and writes to. Plain values and files: no Django."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from annotator.data.formats.records import Category, ImageRecord

# Roboflow calls the validation split's folder so.
FOLDERS = {"val": "valid"}
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One image of an export; its file is called `name` there.

    `number` counts all settled images in the order of their hashes, `first_instance` all their instances: whatever of
    them is left out, the numbers stay.
    """

    number: int
    first_instance: int
    sha256: str
    name: str
    record: ImageRecord

    @property
    def split(self) -> str:
        return str(self.record.split)

    @property
    def folder(self) -> str:
        return FOLDERS.get(self.split, self.split)

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0] or self.name


class Out(Protocol):
    """Where an export goes, as much of it as writers need."""

    def text(self, path: str, text: str) -> None:
        """A small file."""
        ...

    def pieces(self, path: str, pieces: Iterator[bytes]) -> None:
        """A file of any length."""
        ...


@dataclass(frozen=True)
class Wishes:
    """How, where a format leaves a choice. `masks`: rle or polygon. `boxes`: norm or px."""

    masks: str = "rle"
    boxes: str = "norm"


class Writer(Protocol):
    """Takes the images one after the other and keeps none of them."""

    def __init__(self, categories: Sequence[Category], out: Out, spool: Path, wishes: Wishes) -> None: ...

    def picture_path(self, row: Row) -> str: ...

    def add(self, row: Row) -> None: ...

    def finish(self) -> list[str]:
        """Write what can only be written at the end; sentences for the manifest."""
        ...


@dataclass
class ArraysDocument:
    """A JSON object whose arrays are longer than memory: their rows wait in nameless files in the folder `spool`."""

    spool: Path
    head: dict[str, Any]
    arrays: Sequence[str]
    _files: dict[str, IO[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.arrays:
            self._files[name] = tempfile.TemporaryFile(dir=self.spool)  # noqa: SIM115 - closed once it was read

    def add(self, array: str, row: Any) -> None:
        file = self._files[array]
        file.write((b",\n" if file.tell() else b"") + json_text(row).encode())

    def pieces(self) -> Iterator[bytes]:
        """The whole document; afterwards the rows are gone."""
        yield json_text(self.head).encode()[:-1]
        for place, (name, file) in enumerate(self._files.items()):
            yield f"{', ' if self.head or place else ''}{json_text(name)}: [\n".encode()
            yield from _read(file)
            yield b"\n]"
        yield b"}\n"


class ListDocument:
    """A JSON list, likewise."""

    def __init__(self, spool: Path) -> None:
        self._rows = ArraysDocument(spool, {}, ["rows"])

    def add(self, row: Any) -> None:
        self._rows.add("rows", row)

    @property
    def size_bytes(self) -> int:
        [file] = self._rows._files.values()
        return file.tell()

    def pieces(self) -> Iterator[bytes]:
        [file] = self._rows._files.values()
        yield b"[\n"
        yield from _read(file)
        yield b"\n]\n"


def json_text(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def numbers_of(categories: Sequence[Category]) -> Mapping[str, int]:
    return {category.name: category.id for category in categories}


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
