"""What a run says while it works: one JSON object a line, on stdout and in the run folder's events.jsonl."""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from toolbox.events import Event


class Events:
    """Writes each event at once; a reader that has gone away (a closed pipe) does not stop the work.

    The run's own thread tells most of them; what is beside it (trackers, the GPU's figures) may tell, too.
    """

    def __init__(self, streams: list[TextIO]) -> None:
        self._streams = list(streams)
        self._listeners: list[Callable[[dict[str, Any]], None]] = []
        self._writing = threading.Lock()

    def listen(self, listener: Callable[[dict[str, Any]], None]) -> None:
        """It is called in the thread that tells, with each event from now on: it must be quick and must not raise."""
        self._listeners.append(listener)

    def __call__(self, event: str, **fields: Any) -> None:
        if event not in set(Event):
            raise ValueError(f"unknown event '{event}': the contract knows {', '.join(sorted(Event))}")
        line = {"event": event, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **_finite(fields)}
        text = json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"
        with self._writing:
            self._write(text)
        for listener in self._listeners:
            listener(line)

    def _write(self, text: str) -> None:
        for stream in list(self._streams):
            try:
                stream.write(text)
                stream.flush()
            except BrokenPipeError:
                self._streams.remove(stream)


def _finite(value: Any) -> Any:
    """JSON has no NaN; what is not a number reads null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


@contextmanager
def open_events(out: Path) -> Iterator[Events]:
    """Events to stdout and, appended, to out/events.jsonl: a resumed run goes on in the same file."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "events.jsonl").open("a", encoding="utf-8") as file:
        yield Events([file, sys.stdout])


def silent() -> Events:
    return Events([])
