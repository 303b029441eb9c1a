"""Which click of a desk is the newest, so that the ones before it are dropped. A hover preview never drops a click."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from cachetools import FIFOCache

from mlbackend.errors import overtaken

DESKS_KEPT = 10_000
FORGET_AFTER_S = 10.0  # a reloaded page may start counting at 1 again under its old key


@dataclass
class _Desk:
    seen_s: float
    click: int = -1
    preview: int = -1
    clicks: list[Future[Any]] = field(default_factory=list)
    previews: list[Future[Any]] = field(default_factory=list)

    def newest_for(self, preview: bool) -> int:
        """What must not be older: clicks yield to clicks alone, previews to both."""
        return max(self.click, self.preview) if preview else self.click


class Desks:
    """Used from the event loop alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._desks: FIFOCache[str, _Desk] = FIFOCache(DESKS_KEPT)  # by the last arrival

    def arrive(self, key: str | None, sequence: int, *, preview: bool = False) -> None:
        """Note a click; ApiError overtaken if a newer one of this desk is already here."""
        if key is None:
            return
        desk = self._get(key)
        if sequence < desk.newest_for(preview):
            raise overtaken()
        _cancel(desk.previews)
        if preview:
            desk.preview = sequence
        else:
            if sequence > desk.click:
                _cancel(desk.clicks)
            desk.click = sequence

    def check(self, key: str | None, sequence: int, *, preview: bool = False) -> None:
        """ApiError overtaken if a newer click came while this one waited for its embedding."""
        desk = self._desks.get(key) if key is not None else None
        if desk is not None and sequence < desk.newest_for(preview):
            raise overtaken()

    def decoding(self, key: str | None, future: Future[Any], *, preview: bool = False) -> None:
        """Remember what to cancel when a newer click arrives."""
        desk = self._desks.get(key) if key is not None else None
        if desk is not None:
            futures = desk.previews if preview else desk.clicks
            futures[:] = [other for other in futures if not other.done()] + [future]

    def _get(self, key: str) -> _Desk:
        now = self._clock()
        desk = self._desks.get(key)
        if desk is None or now - desk.seen_s > FORGET_AFTER_S:
            desk = _Desk(now)
        desk.seen_s = now
        self._desks[key] = desk
        return desk


def _cancel(futures: list[Future[Any]]) -> None:
    for future in futures:
        future.cancel()  # has no effect on one that is being decoded
    futures.clear()
