"""The bytes of files by name: capped, and those that were looked at to tell their kind kept for the reading."""

from annotator.common.errors import ImportRefusedError

from .documents import Files
from .records import MAX_JSON_BYTES

CHUNK_BYTES = 1024 * 1024
KEPT_BYTES = 64 * 1024 * 1024
SMALL_BYTES = 256 * 1024


class Texts:
    """Small files are asked for once, up to KEPT_BYTES in all: in a bucket each look is a request."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._kept: dict[str, bytes] = {}
        self._kept_bytes = 0

    def content(self, name: str, *, limit_bytes: int = MAX_JSON_BYTES) -> bytes:
        """ImportRefusedError for a file that can't be read or is larger than the limit."""
        if (known := self._kept.get(name)) is not None:
            return known
        content = self._read(name, limit_bytes)
        if len(content) <= SMALL_BYTES and self._kept_bytes + len(content) <= KEPT_BYTES:
            self._kept[name] = content
            self._kept_bytes += len(content)
        return content

    def _read(self, name: str, limit_bytes: int) -> bytes:
        chunks, total = [], 0
        with self._files.open(name) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                total += len(chunk)
                if total > limit_bytes:
                    raise ImportRefusedError(f"It has more than {_size(limit_bytes)}; split it into parts.")
                chunks.append(chunk)
        return b"".join(chunks)

    def text(self, name: str, *, limit_bytes: int) -> str:
        """UTF-8, with or without a byte order mark."""
        try:
            return self.content(name, limit_bytes=limit_bytes).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ImportRefusedError("It is not UTF-8 text; save it again as UTF-8.") from None


def _size(limit_bytes: int) -> str:
    return f"{limit_bytes // 2**20} MB" if limit_bytes >= 2**20 else f"{limit_bytes // 2**10} kB"
