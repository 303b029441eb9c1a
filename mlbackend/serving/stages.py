"""How work on the model is run: timed by stage, and running out of device memory counts as overload."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from mlbackend.errors import ApiError, overloaded

log = logging.getLogger(__name__)
T = TypeVar("T")


def timed(function: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    start = time.perf_counter()
    value = function(*arguments)
    return value, (time.perf_counter() - start) * 1e3


def timed_shares(work: Callable[[list[Any]], Sequence[T]], items: list[Any]) -> list[tuple[T, float]]:
    """The value for each item of a batch, and its share of the milliseconds that the batch took.

    A batch that does not fit the device's memory is done one by one.
    """
    try:
        values, spent_ms = timed(work, items)
    except torch.OutOfMemoryError:
        if len(items) == 1:
            raise _out_of_memory() from None
        log.warning("%d images at once do not fit the device's memory: set ROOST_ENCODE_BATCH lower", len(items))
        torch.cuda.empty_cache()
        return [share for item in items for share in timed_shares(work, [item])]
    return [(value, spent_ms / len(items)) for value in values]


def stages_ms(start: float, **stages: float) -> dict[str, float]:
    """The stages, "total" since start, and as "wait" what no stage accounts for."""
    total = (time.perf_counter() - start) * 1e3
    rows = {"wait": max(0.0, total - sum(stages.values())), **stages, "total": total}
    return {stage: round(value, 2) for stage, value in rows.items()}


def spare_memory(run: Callable[[], T]) -> T:
    """Run on the model; running out of device memory is answered as overload and does not stop the server."""
    try:
        return run()
    except torch.OutOfMemoryError:
        raise _out_of_memory() from None


def _out_of_memory() -> ApiError:
    log.exception("out of device memory")
    torch.cuda.empty_cache()
    return overloaded("requests for the device's memory", 5.0)
