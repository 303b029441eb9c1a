"""Where files come from: a folder of this machine, a bucket, or a zip that is read member by member, never unpacked.

A zip from a stranger may lie about sizes, overlap its members to declare terabytes, climb out of its folder by name or
carry links. Here names are only looked up, never used as paths, and bytes are counted as they come.
"""

import os
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, Self

from annotator.common.errors import ImportRefusedError
from toolbox.pixels import is_like_image

from .formats.records import Problem

MAX_MEMBERS = 100_000
MAX_UNPACKED_BYTES = 50 * 1024**3
MAX_RATIO = 100
RATIO_FROM_BYTES = 10 * 1024 * 1024
LOCAL_HEADER_BYTES = 30
READ_BYTES = 1024 * 1024
LOCKED_FLAG, UTF8_FLAG = 0x1, 0x800
DISK = re.compile("[A-Za-z]:/")
ALONE = {".json", ".xml", ".csv", ".tsv", ".txt"}  # annotations for pictures that are here already
IGNORED = {".ds_store", "thumbs.db", "desktop.ini"}


class Stream(Protocol):
    """As much of an open file as imports need."""

    def read(self, size: int = -1, /) -> bytes: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...


class ImportSource(Protocol):
    """Files by name, with `/` between folders; `problems` are those that can't be read, and why."""

    names: list[str]
    problems: list[Problem]

    def open(self, name: str) -> Stream: ...


@contextmanager
def source_opened(where: Path | str, *, may_be_empty: bool = False) -> Iterator[ImportSource]:
    """A folder, a zip file, one annotation file or `s3://bucket/prefix`; ImportRefusedError for anything else.

    So for a zip that is a trap as a whole.
    """
    path = Path(where)
    if str(where).startswith("s3://"):
        from .buckets import BucketSource

        yield BucketSource(str(where), may_be_empty=may_be_empty)
    elif path.is_dir():
        yield FolderSource(path)
    elif not path.is_file():
        raise ImportRefusedError(f"There is no file or folder {path.name} on the server.")
    elif path.suffix.lower() in ALONE:
        yield FileSource(path)
    else:
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise ImportRefusedError(
                f"{path.name} is no zip file that can be read ({error}); pack the images into a zip again."
            ) from error
        with archive:
            yield ZipSource(archive)


class FileSource:
    """One annotation file, about pictures that the project has."""

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self.names = [path.name]
        self.problems: list[Problem] = []

    def open(self, name: str) -> BinaryIO:
        if name not in self.names:
            raise KeyError(name)
        return self._path.open("rb")


class FolderSource:
    """A folder of the server; links are not followed, out of it or within."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.names: list[str] = []
        self.problems: list[Problem] = []
        for folder, _, files in os.walk(self._root):
            for file in sorted(files):
                path = Path(folder) / file
                name = path.relative_to(self._root).as_posix()
                if path.is_symlink() or not path.is_file():
                    self.problems.append(Problem(name, "It is a link or no plain file; links are not followed."))
                elif not _ignored(name):
                    self.names.append(name)
        self.names.sort()

    def open(self, name: str) -> BinaryIO:
        path = os.path.join(self._root, name)
        if os.path.realpath(path) != path:  # swapped since the walk
            raise ImportRefusedError("It is a link or lies behind one; links are not followed.")
        return open(path, "rb")


class ZipSource:
    """A zip's plain members. Those with a name that climbs, a link, a password or a second of one name are problems."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members: dict[str, zipfile.ZipInfo] = {}
        self.problems: list[Problem] = []
        self._unpacked_bytes = 0
        members = [info for info in archive.infolist() if not info.is_dir()]
        _check_whole(members)
        for info in members:
            name = _member_name(info)
            if name.endswith("/"):  # a folder, by a separator that zipfile does not know
                continue
            if why := _unfit(info, name, self._members):
                self.problems.append(Problem(name[:200], why))
            elif not _ignored(name):
                self._members[name] = info
        self.names = sorted(self._members)

    def open(self, name: str) -> Stream:
        try:
            return _Counted(self, self._archive.open(self._members[name]), self._members[name])
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise ImportRefusedError(f"It can't be unpacked: {error}.") from error

    def count(self, size: int) -> None:
        self._unpacked_bytes += size
        if self._unpacked_bytes > MAX_UNPACKED_BYTES:
            raise ImportRefusedError(f"The zip unpacks to more than {MAX_UNPACKED_BYTES // 2**30} GB; split it.")


class _Counted:
    """A member's stream that counts what really comes out, whatever the zip declares."""

    def __init__(self, source: ZipSource, stream: IO[bytes], info: zipfile.ZipInfo) -> None:
        self._source, self._stream = source, stream
        self._read_bytes = 0
        self._limit = max(RATIO_FROM_BYTES, info.compress_size * MAX_RATIO)

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(READ_BYTES), b""))
        chunk = self._unpacked(min(size, self._limit - self._read_bytes + 1))
        if not self._read_bytes and is_like_image(chunk):
            # A dark picture that is not compressed itself packs 1000 to 1. It is bounded as one in a folder is, by
            # ROOST_MAX_UPLOAD_BYTES and ROOST_MAX_IMAGE_PIXELS, and with the rest of the zip.
            self._limit = MAX_UNPACKED_BYTES
        self._read_bytes += len(chunk)
        self._source.count(len(chunk))
        if self._read_bytes > self._limit:
            raise ImportRefusedError(f"It unpacks to more than {MAX_RATIO} times its size: a zip bomb.")
        return chunk

    def _unpacked(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
            raise ImportRefusedError(f"It is damaged inside the zip: {error}.") from error
        except Exception as error:  # zlib.error, lzma.LZMAError: one for each way to pack
            raise ImportRefusedError(f"It can't be unpacked: {error}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()


def _check_whole(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        raise ImportRefusedError(f"The zip has {len(members)} files; split it into parts of {MAX_MEMBERS} at most.")
    if sum(info.file_size for info in members) > MAX_UNPACKED_BYTES:
        raise ImportRefusedError(f"The zip declares more than {MAX_UNPACKED_BYTES // 2**30} GB; split it.")
    end = 0
    for info in sorted(members, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ImportRefusedError("The zip's files overlap each other: a zip bomb. Nothing was imported.")
        end = info.header_offset + LOCAL_HEADER_BYTES + info.compress_size


def _member_name(info: zipfile.ZipInfo) -> str:
    """With `/` between folders: Windows' own tools write `\\`. Finder writes UTF-8 without the flag that says so."""
    name = info.orig_filename
    if not info.flag_bits & UTF8_FLAG and not name.isascii():
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _unfit(info: zipfile.ZipInfo, name: str, known: dict[str, zipfile.ZipInfo]) -> str:
    mode = info.external_attr >> 16
    if name.startswith("/") or DISK.match(name) or "\0" in name or ".." in name.split("/"):
        return "Its name leads out of the zip's own folder."
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "It is a link or no plain file; links are not followed."
    if info.flag_bits & LOCKED_FLAG:
        return "It is locked with a password; pack it without one."
    return "Another file of the zip has the same name; the first one counts." if name in known else ""


def _ignored(name: str) -> bool:
    """What macOS and Windows leave in folders."""
    parts = name.lower().split("/")
    return parts[-1] in IGNORED or parts[-1].startswith("._") or "__macosx" in parts
