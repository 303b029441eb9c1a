"""Two lanes in front of the model, each one thread: heavy work by urgency, and clicks in small batches.

A click never waits behind an encode that mining asked for: its decoder runs in a lane of its own, and an encode that a
person waits for is next in the heavy lane.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, TypeVar

from mlbackend.errors import overloaded

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


class Urgency(IntEnum):
    """Smaller goes first."""

    CLICK = 0
    PREDICT = 1
    WARM = 2


@dataclass
class HeavyJob:
    """One unit of heavy work; raise_to() lets a person's click pull it forward while it still waits."""

    run: Callable[[], Any]
    urgency: Urgency
    future: Future[Any] = field(default_factory=Future)


class HeavyLane:
    """A priority queue before one thread. Full queues answer 429 at once instead of growing."""

    def __init__(self, limits: dict[Urgency, int], *, threads: int = 1) -> None:
        self._limits = limits
        self._heap: list[tuple[int, int, HeavyJob]] = []
        self._numbers = itertools.count()
        self._waiting = dict.fromkeys(Urgency, 0)
        self._ready = threading.Condition()
        self._stopped = False
        self.mean_s = 0.1
        self._threads = [threading.Thread(target=self._work, name=f"heavy-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, run: Callable[[], Any], urgency: Urgency) -> HeavyJob:
        job = HeavyJob(run, urgency)
        with self._ready:
            if self._waiting[urgency] >= self._limits[urgency]:
                raise overloaded("images", self.mean_s * self._waiting[urgency])
            self._push(job)
        return job

    def raise_to(self, job: HeavyJob, urgency: Urgency) -> None:
        with self._ready:
            if urgency < job.urgency and not job.future.running() and not job.future.done():
                self._waiting[job.urgency] -= 1
                job.urgency = urgency
                self._push(job)  # the older entry is passed over when its turn comes

    def depth(self) -> int:
        return sum(self._waiting.values())

    def stop(self) -> None:
        with self._ready:
            self._stopped = True
            self._ready.notify_all()

    def _push(self, job: HeavyJob) -> None:
        self._waiting[job.urgency] += 1
        heapq.heappush(self._heap, (job.urgency, next(self._numbers), job))
        self._ready.notify()

    def _next(self) -> HeavyJob | None:
        with self._ready:
            while True:
                while not self._heap and not self._stopped:
                    self._ready.wait()
                if self._stopped:
                    return None
                urgency, _, job = heapq.heappop(self._heap)
                if urgency != job.urgency or job.future.running() or job.future.done():
                    continue
                self._waiting[job.urgency] -= 1
                if job.future.set_running_or_notify_cancel():
                    return job

    def _work(self) -> None:
        while (job := self._next()) is not None:
            start = time.monotonic()
            try:
                job.future.set_result(job.run())
            except BaseException as error:
                job.future.set_exception(error)
            self.mean_s += 0.2 * (time.monotonic() - start - self.mean_s)


@dataclass
class ClickJob(Generic[T, R]):
    """kind: jobs of one kind may share a batch."""

    item: T
    kind: Hashable
    preview: bool
    future: Future[R] = field(default_factory=Future)


class ClickLane(Generic[T, R]):
    """Clicks before previews, first come first served, and those that can share a decoder call do."""

    def __init__(self, decode: Callable[[Sequence[T]], Sequence[R]], *, most_waiting: int, batch: int,
                 threads: int = 1) -> None:
        self._decode, self._most, self._batch = decode, most_waiting, batch
        self._waiting: list[ClickJob[T, R]] = []
        self._ready = threading.Condition()
        self._stopped = False
        self.mean_s = 0.02
        self.batches = 0
        self._threads = [threading.Thread(target=self._work, name=f"click-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, item: T, kind: Hashable, *, preview: bool = False) -> Future[R]:
        """A preview gives up its place when the queue is half full; a click when it is full."""
        job: ClickJob[T, R] = ClickJob(item, kind, preview)
        with self._ready:
            if len(self._waiting) >= (self._most // 2 if preview else self._most):
                raise overloaded("clicks", self.mean_s * len(self._waiting))
            self._waiting.append(job)
            self._ready.notify()
        return job.future

    def depth(self) -> int:
        return len(self._waiting)

    def stop(self) -> None:
        with self._ready:
            self._stopped = True
            self._ready.notify_all()

    def alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _next_batch(self) -> list[ClickJob[T, R]]:
        with self._ready:
            while True:
                self._waiting = [job for job in self._waiting if not job.future.cancelled()]
                if self._stopped:
                    return []
                if self._waiting:
                    break
                self._ready.wait()
            first = next((job for job in self._waiting if not job.preview), self._waiting[0])
            batch = [job for job in self._waiting if job.kind == first.kind and job.preview == first.preview]
            batch = batch[:self._batch]
            taken = {id(job) for job in batch}
            self._waiting = [job for job in self._waiting if id(job) not in taken]
            return [job for job in batch if job.future.set_running_or_notify_cancel()]

    def _work(self) -> None:
        while not self._stopped:
            batch = self._next_batch()
            if not batch:
                continue
            start = time.monotonic()
            try:
                results = self._decode([job.item for job in batch])
                for job, result in zip(batch, results, strict=True):
                    job.future.set_result(result)
            except BaseException as error:
                for job in batch:
                    if not job.future.done():
                        job.future.set_exception(error)
            self.batches += 1
            self.mean_s += 0.2 * (time.monotonic() - start - self.mean_s)
