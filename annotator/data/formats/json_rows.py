"""The rows of one array of a JSON object, one after the other, from a file that may be longer than memory."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

CHUNK_CHARACTERS = 1 << 16
_decoder = json.JSONDecoder()


def json_rows(path: Path, key: str) -> Iterator[Any]:
    """Of the object's own `key`; nothing where it has none. ValueError for what is no such JSON."""
    with path.open(encoding="utf-8") as file:
        text = _Text(file)
        text.expect("{")
        while text.next_is('"'):
            name = text.value()
            text.expect(":")
            if name == key:
                yield from _rows(text)
                return
            _skip(text)
            if not text.next_is(","):
                return
            text.expect(",")


def _rows(text: "_Text") -> Iterator[Any]:
    text.expect("[")
    while not text.next_is("]"):
        yield text.value()
        if not text.next_is("]"):
            text.expect(",")
    text.expect("]")


def _skip(text: "_Text") -> None:
    """Arrays row by row, so that a long one is never held."""
    if text.next_is("["):
        for _ in _rows(text):
            pass
    else:
        text.value()


class _Text:
    """A place in a file's text; what is behind it is forgotten."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._held, self._at, self._ended = file, "", 0, False

    def next_is(self, character: str) -> bool:
        self._to_next()
        return self._held.startswith(character, self._at)

    def expect(self, character: str) -> None:
        if not self.next_is(character):
            raise ValueError(f"there is no {character!r} where one has to be")
        self._at += 1

    def value(self) -> Any:
        """The next value; what is cut by the end of what is held is read on and tried again."""
        self._to_next()
        while True:
            try:
                value, end = _decoder.raw_decode(self._held, self._at)
            except ValueError:
                if not self._read():
                    raise
                continue
            # A number that ends where the held text ends may go on.
            if end < len(self._held) or not self._read():
                self._at = end
                return value

    def _to_next(self) -> None:
        while True:
            rest = len(self._held)
            while self._at < rest and self._held[self._at] in " \t\r\n":
                self._at += 1
            if self._at < rest or not self._read():
                return

    def _read(self) -> bool:
        """More than the rest that is held, so that a long value is not tried a thousand times."""
        if self._ended:
            return False
        rest = self._held[self._at :]
        more = self._file.read(max(CHUNK_CHARACTERS, len(rest)))
        self._held, self._at, self._ended = rest + more, 0, not more
        return bool(more)
