"""Which click of a desk is the newest, so that the ones before it are dropped."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from mlbackend.errors import overtaken

DESKS_KEPT = 10_000
FORGET_AFTER_S = 2.0  # a reloaded page may start counting at 1 again under its old key


@dataclass
class _Desk:
    sequence: int
    seen_s: float
    futures: list[Future[Any]] = field(default_factory=list)


class Desks:
    """Used from the event loop alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._desks: OrderedDict[str, _Desk] = OrderedDict()

    def arrive(self, key: str | None, sequence: int) -> None:
        """Note a click; ApiError overtaken if a newer one of this desk is already here."""
        if key is None:
            return
        now = self._clock()
        desk = self._desks.pop(key, None)
        if desk is None or now - desk.seen_s > FORGET_AFTER_S:
            desk = _Desk(sequence, now)
        self._desks[key] = desk
        while len(self._desks) > DESKS_KEPT:
            self._desks.popitem(last=False)
        if sequence < desk.sequence:
            raise overtaken()
        if sequence > desk.sequence:
            for future in desk.futures:
                future.cancel()  # has no effect on one that is being decoded
            desk.futures.clear()
        desk.sequence, desk.seen_s = sequence, now

    def check(self, key: str | None, sequence: int) -> None:
        """ApiError overtaken if a newer click came while this one waited for its embedding."""
        desk = self._desks.get(key) if key is not None else None
        if desk is not None and sequence < desk.sequence:
            raise overtaken()

    def decoding(self, key: str | None, future: Future[Any]) -> None:
        """Remember what to cancel when a newer click arrives."""
        desk = self._desks.get(key) if key is not None else None
        if desk is not None:
            desk.futures = [other for other in desk.futures if not other.done()]
            desk.futures.append(future)
