"""The loop of whatever learns here, a retrain or a stage of the demo model: step after step until it is over. Asked to
stop it ends at a step's edge, where its caller saves what the next start goes on from (checkpoints.py, saving.py)."""

from __future__ import annotations

from collections.abc import Callable

from training.errors import Stopped
from training.launch import StopRequest
from training.ranks import ALONE, Ranks


def repeat(one_step: Callable[[], None], is_over: Callable[[], bool], stop: StopRequest, ranks: Ranks = ALONE) -> None:
    """Stopped as soon as one of the processes was asked to: all of them end after the same step."""
    while not is_over():
        if ranks.any(bool(stop)):
            raise Stopped
        one_step()


class Means:
    """Loss terms, averaged from one telling to the next; a term that a step lacks counts as 0 there."""

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []

    def add(self, terms: dict[str, float]) -> None:
        self._rows.append(terms)

    def take(self) -> dict[str, float]:
        """Of the steps since the last call, by the terms of the newest; it has to be one at least."""
        rows, self._rows = self._rows, []
        return {name: round(sum(row.get(name, 0.0) for row in rows) / len(rows), 5) for name in rows[-1]}
