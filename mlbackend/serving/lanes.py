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
from typing import Any, Generic, Protocol, TypeVar

from mlbackend.errors import overloaded

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


class Urgency(IntEnum):
    """Smaller goes first."""

    CLICK = 0
    PREDICT = 1
    WARM = 2


class _Job(Protocol):
    future: Future[Any]


def _hand_out(batch: Sequence[_Job], results: Sequence[Any]) -> None:
    for job, result in zip(batch, results, strict=True):
        job.future.set_result(result)


def _fail(batch: Sequence[_Job], error: BaseException) -> None:
    """Those that have no answer yet learn why."""
    for job in batch:
        if not job.future.done():
            job.future.set_exception(error)


@dataclass
class HeavyJob:
    """One unit of heavy work on one item; raise_to() lets a person's click pull it forward while it still waits.

    run takes the items of a batch and answers one value for each. Jobs of one kind may share a call; None: never.
    """

    run: Callable[[list[Any]], Sequence[Any]]
    item: Any
    kind: Hashable | None
    urgency: Urgency
    future: Future[Any] = field(default_factory=Future)
    waiting: bool = True


class HeavyLane:
    """A priority queue before one thread. Full queues answer 429 at once instead of growing.

    Up to `batch` jobs of one kind and urgency that wait at the same time share a call. Nobody waits for a batch to
    fill, and what a person's click needs is done alone: a click waits for the call under way and no longer.
    """

    def __init__(self, limits: dict[Urgency, int], *, batch: int = 1, threads: int = 1) -> None:
        self._limits, self._batch = limits, batch
        self._heap: list[tuple[int, int, HeavyJob]] = []
        self._numbers = itertools.count()
        self._waiting = dict.fromkeys(Urgency, 0)
        self._ready = threading.Condition()
        self._stopped = False
        self.mean_s = 0.1
        self.calls = self.jobs = 0
        self._threads = [threading.Thread(target=self._work, name=f"heavy-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(
        self, run: Callable[[list[Any]], Sequence[Any]], item: Any, urgency: Urgency, *, kind: Hashable | None = None
    ) -> HeavyJob:
        """A job whose future may be cancelled while it waits."""
        job = HeavyJob(run, item, kind, urgency)
        with self._ready:
            if self._waiting[urgency] >= self._limits[urgency]:
                raise overloaded("images", self.mean_s * self._waiting[urgency])
            self._waiting[urgency] += 1
            self._push(job)
        job.future.add_done_callback(lambda _: self._leave(job))
        return job

    def raise_to(self, job: HeavyJob, urgency: Urgency) -> None:
        with self._ready:
            if job.waiting and urgency < job.urgency:
                self._waiting[job.urgency] -= 1
                self._waiting[urgency] += 1
                job.urgency = urgency
                self._push(job)  # the older queue entry is skipped when it is reached

    def depth(self) -> int:
        return sum(self._waiting.values())

    def stop(self) -> None:
        with self._ready:
            self._stopped = True
            self._ready.notify_all()

    def _push(self, job: HeavyJob) -> None:
        heapq.heappush(self._heap, (job.urgency, next(self._numbers), job))
        self._ready.notify()

    def _leave(self, job: HeavyJob) -> bool:
        """Mark the job as started or cancelled. False if it was marked before."""
        with self._ready:
            was_waiting, job.waiting = job.waiting, False
            self._waiting[job.urgency] -= was_waiting
            return was_waiting

    def _next_batch(self) -> list[HeavyJob]:
        """What to do now, empty when the lane was stopped."""
        with self._ready:
            while not self._stopped:
                while self._heap:
                    urgency, _, job = heapq.heappop(self._heap)
                    if urgency == job.urgency and self._take(job):
                        return [job, *self._mates(job)]
                self._ready.wait()
            return []

    def _mates(self, first: HeavyJob) -> list[HeavyJob]:
        if first.kind is None or first.urgency is Urgency.CLICK or self._batch == 1:
            return []
        mates: list[HeavyJob] = []
        for urgency, _, job in sorted(self._heap, key=lambda entry: entry[:2]):
            if len(mates) == self._batch - 1:
                break
            if job.kind == first.kind and urgency == job.urgency == first.urgency and self._take(job):
                mates.append(job)
        return mates

    def _take(self, job: HeavyJob) -> bool:
        return self._leave(job) and job.future.set_running_or_notify_cancel()

    def _work(self) -> None:
        while batch := self._next_batch():
            start = time.monotonic()
            try:
                try:
                    results = batch[0].run([job.item for job in batch])
                finally:  # whoever has an answer finds it counted
                    self._count(len(batch), time.monotonic() - start)
                _hand_out(batch, results)
            except BaseException as error:
                _fail(batch, error)

    def _count(self, jobs: int, seconds: float) -> None:
        self.mean_s += 0.2 * (seconds / jobs - self.mean_s)
        self.calls += 1
        self.jobs += jobs


@dataclass
class ClickJob(Generic[T, R]):
    """kind: jobs of one kind may share a batch."""

    item: T
    kind: Hashable
    preview: bool
    future: Future[R] = field(default_factory=Future)


class ClickLane(Generic[T, R]):
    """Clicks before previews, first come first served, and those that can share a decoder call do."""

    def __init__(
        self, decode: Callable[[Sequence[T]], Sequence[R]], *, most_waiting: int, batch: int, threads: int = 1
    ) -> None:
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
        """Refuse previews when the queue is half full, and clicks when it is full."""
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
            batch = batch[: self._batch]
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
                _hand_out(batch, self._decode([job.item for job in batch]))
            except BaseException as error:
                _fail(batch, error)
            self.batches += 1
            self.mean_s += 0.2 * (time.monotonic() - start - self.mean_s)
