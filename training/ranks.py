"""Several processes that train one run together, started by torchrun; a process alone is the same with a count of 1.

All draw the same batches, each learns from its share of the pairs, and gradients are added up: what is learned is what
one process would have learned, but for rounding and dropout. Rank 0 alone judges and writes; the others wait for it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from training.config import Config
from training.errors import Refused, Stopped, TrainingError
from training.events import Events
from training.line import Line, RankEvents, words
from training.models import choose_device
from training.occupancy import wait_s

LOOK_EVERY_S = 0.05
BUCKET_NUMBERS = 8 * 2**20


class Ranks:
    """One process, alone."""

    rank, count = 0, 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Of every batch; dealt out in turn, so that each gets as many of the positives, which come first."""
        return slice(self.rank, None, self.count)

    def events(self, own: Events) -> Events:
        return own

    def connect(self, config: Config) -> None:
        """Before the first of the calls below."""

    def meet(self, what: str, value: Any = None) -> Any:
        """Go on when all have come here; what rank 0 brought (JSON)."""
        return value

    def by_first(self, what: str, work: Callable[[], Any]) -> Any:
        """What rank 0 alone does, and what came of it (JSON), for all; Stopped there is Stopped everywhere."""
        return work()

    def busy(self) -> None:
        """Rank 0 works on: whoever waits for it begins to count anew."""

    def add_up(self, numbers: Sequence[float]) -> list[float]:
        return list(numbers)

    def add_gradients(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Each parameter's gradient becomes the sum of all ranks'; one that no rank has stays None."""

    def any(self, flag: bool) -> bool:
        return self.add_up([float(flag)])[0] > 0

    def firsts(self, number: float) -> float:
        return self.add_up([number if self.is_first else 0.0])[0]

    def leave(self, status: int) -> None:
        """The process is about to end with this status."""


ALONE = Ranks()


class Joined(Ranks):
    """One of several, as torchrun's environment has it."""

    def __init__(self) -> None:
        self.rank, self.count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self._is_one_machine = self.count == int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
        store, _, _ = next(dist.rendezvous("env://", timeout=timedelta(minutes=2)))
        self._groups, self._store = dist.PrefixStore("groups", store), dist.PrefixStore("roost", store)
        host = os.environ["MASTER_ADDR"]
        self.line = Line(self.rank, self.count, self._store, host=host, is_one_machine=self._is_one_machine)
        self._wait_s, self._meetings = 120.0 + wait_s(), 0  # the first may wait for the run's folder

    def events(self, own: Events) -> Events:
        return RankEvents(self.line, own)

    def connect(self, config: Config) -> None:
        """Refused where there are more processes than pairs or, with GPUs, than GPUs."""
        if self.count > config.batch_pairs:
            raise Refused(
                "too_many_processes",
                f"{self.count} processes cannot share batches of {config.batch_pairs} pairs: start fewer, or raise "
                "batch_pairs.",
            )
        self._wait_s = 60 * config.launch_wait_minutes
        is_cuda = choose_device(config.device).type == "cuda"
        if is_cuda:
            _take_gpu()
        if self._is_one_machine and sys.platform == "linux":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if is_cuda else "gloo",
            store=self._groups,
            rank=self.rank,
            world_size=self.count,
            timeout=timedelta(seconds=self._wait_s),
        )

    def meet(self, what: str, value: Any = None) -> Any:
        self._meetings += 1
        place = str(self._meetings)
        with self._together(what):
            if self.is_first:
                self._store.set(f"{place}/value", json.dumps(value))
            self._store.set(f"{place}/{self.rank}", what)
            self._wait_for_all(place, what)
            return json.loads(self._store.get(f"{place}/value"))

    def _wait_for_all(self, place: str, what: str) -> None:
        since, seen = time.monotonic(), 0
        while missing := [rank for rank in range(self.count) if not self._store.check([f"{place}/{rank}"])]:
            time.sleep(LOOK_EVERY_S)
            busy = self._store.add("busy", 0)
            if busy != seen:
                since, seen = time.monotonic(), busy
            if time.monotonic() - since > self._wait_s:
                raise TrainingError(
                    "missing_process",
                    f"Of the run's {self.count} processes {words(missing)} did not come to {what} within "
                    f"{self._wait_s / 60:g} minutes: see its log, or raise launch_wait_minutes.",
                )

    def by_first(self, what: str, work: Callable[[], Any]) -> Any:
        told: dict[str, Any] = {}
        if self.is_first:
            try:
                told = {"value": work()}
            except Stopped:
                told = {"is_stopped": True}
        told = self.meet(what, told)
        if told.get("is_stopped"):
            raise Stopped
        return told["value"]

    def busy(self) -> None:
        self._store.add("busy", 1)

    def add_up(self, numbers: Sequence[float]) -> list[float]:
        with self._together("the next step"):
            total = torch.tensor(list(numbers), dtype=torch.float64)
            dist.all_reduce(total)
            return [float(number) for number in total]

    def add_gradients(self, parameters: Mapping[str, nn.Parameter]) -> None:
        has = self.add_up([float(parameter.grad is not None) for parameter in parameters.values()])
        wanted = [parameter for parameter, count in zip(parameters.values(), has, strict=True) if count]
        for bucket in _buckets(wanted):
            with self._together("the next step"):
                _add_bucket(bucket)

    @contextmanager
    def _together(self, what: str) -> Iterator[None]:
        """A call that all make breaks when one of them is gone, which the line knows better."""
        try:
            yield
        except RuntimeError as error:
            self.line.hold()
            raise TrainingError("lost_process", f"The run's processes lost each other before {what}: {error}") from None

    def leave(self, status: int) -> None:
        if status == 0 and dist.is_initialized():
            dist.destroy_process_group()
        self.line.leave(status)


def _take_gpu() -> None:
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= count:
        raise Refused(
            "too_few_gpus",
            f"{os.environ.get('LOCAL_WORLD_SIZE', local + 1)} processes were started here and torch sees {count} GPUs: "
            "start as many as there are GPUs (--nproc-per-node, ROOST_TRAIN_PROCESSES), or set device to cpu.",
        )
    torch.cuda.set_device(local)


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """A few tens of MB at once: one call for each of the small ones would cost more than it moves."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        if bucket and sum(one.numel() for one in bucket) + parameter.numel() > BUCKET_NUMBERS:
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


@torch.no_grad()
def _add_bucket(bucket: Sequence[nn.Parameter]) -> None:
    flat = torch.cat([_gradient(parameter).reshape(-1) for parameter in bucket])
    dist.all_reduce(flat)
    for parameter, part in zip(bucket, flat.split([one.numel() for one in bucket]), strict=True):
        if parameter.grad is None:
            parameter.grad = part.reshape(parameter.shape).clone()
        else:
            parameter.grad.copy_(part.reshape(parameter.shape))


def _gradient(parameter: nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
