"""An embedding is made once for everybody who wants it, and for nobody when nobody does any more."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from mlbackend.errors import ApiError
from mlbackend.model.loader import LoadOptions, load_predictor
from mlbackend.model.predictor import Predictor
from mlbackend.model.prompts import Point
from mlbackend.serving.encoding import Encoder, Found, embedding_key
from mlbackend.serving.engine import Engine
from mlbackend.serving.lanes import HeavyLane, Urgency
from mlbackend.serving.metrics import Metrics
from mlbackend.serving.requests import ClickRequest
from mlbackend.settings import read_settings
from tests.backend.support import run_async, store_picture
from tests.processes import PATIENCE_S


class Bench:
    """An encoder whose lane is held up until open() is called."""

    def __init__(self, var: Path, predictor: Predictor, **environ: str) -> None:
        self.predictor, self.image = predictor, store_picture(var, 1)
        self.lane = HeavyLane(dict.fromkeys(Urgency, 16))
        self.pool = ThreadPoolExecutor(1)
        self.encoder = Encoder(read_settings({"ROOST_VAR": str(var)} | environ), Metrics(), self.lane, self.pool)
        self._opened = threading.Event()
        self.lane.submit(lambda items: [self._opened.wait(PATIENCE_S)], None, Urgency.CLICK)

    def ask(self, urgency: Urgency, layer: str = "tokens") -> asyncio.Task[Found]:
        return asyncio.ensure_future(self.encoder.embedding(layer, self.predictor, self.image, urgency))

    async def queued(self, jobs: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.lane.depth() != jobs:
                await asyncio.sleep(0.005)

    def open(self) -> None:
        self._opened.set()

    def stop(self) -> None:
        self.open()
        self.lane.stop()
        self.encoder.close()
        self.pool.shutdown()


@pytest.fixture
def bench(tmp_path: Path, tiny: Predictor) -> Iterator[Bench]:
    bench = Bench(tmp_path, tiny)
    yield bench
    bench.stop()


async def give_up(task: asyncio.Task[Found]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_encode_that_somebody_else_still_waits_for_goes_on(bench: Bench) -> None:
    async def scenario() -> Found:
        gone, stays = bench.ask(Urgency.PREDICT), bench.ask(Urgency.WARM)
        await bench.queued(1)
        await give_up(gone)
        bench.open()
        return await stays

    assert run_async(scenario()).how == "miss"


@pytest.mark.parametrize("layer", ["tokens", "click"])
def test_encode_that_nobody_waits_for_leaves_the_queue_and_can_be_asked_for_again(bench: Bench, layer: str) -> None:
    async def scenario() -> Found:
        tasks = [bench.ask(Urgency.PREDICT, layer), bench.ask(Urgency.WARM, layer)]
        await bench.queued(1)
        for task in tasks:
            await give_up(task)
        await bench.queued(0)
        again = bench.ask(Urgency.PREDICT, layer)
        await bench.queued(1)
        bench.open()
        return await again

    assert run_async(scenario()).how == "miss"


def test_encode_that_a_click_waited_for_goes_on_without_it(bench: Bench) -> None:
    async def scenario() -> None:
        click = bench.ask(Urgency.CLICK)
        await bench.queued(1)
        await give_up(click)
        bench.open()
        key = embedding_key("tokens", bench.predictor, bench.image)
        async with asyncio.timeout(PATIENCE_S):
            while bench.encoder.store.hot.get(key) is None:
                await asyncio.sleep(0.005)

    run_async(scenario())


@pytest.mark.parametrize("preview", [False, True])
def test_encode_goes_on_for_whoever_was_told_to_come_back(tmp_path: Path, tiny: Predictor, preview: bool) -> None:
    image, opened = store_picture(tmp_path, 1), threading.Event()
    click = ClickRequest("tiny", image, (Point(40, 50, 1),), preview=preview)

    async def scenario() -> Engine:
        engine = Engine(read_settings({"ROOST_VAR": str(tmp_path), "ROOST_CLICK_PATIENCE_S": "0"}), Metrics())
        engine.heavy.submit(lambda items: [opened.wait(PATIENCE_S)], None, Urgency.CLICK)
        with pytest.raises(ApiError, match="still reading this image"):
            await engine.click(tiny, click)
        async with asyncio.timeout(PATIENCE_S):
            while engine.heavy.depth() != 1:
                await asyncio.sleep(0.005)
            opened.set()
            while engine.encoder.store.hot.get(embedding_key("click", tiny, image)) is None:
                await asyncio.sleep(0.005)
        return engine

    run_async(scenario()).close()


async def being_read(path: Path) -> int:
    """Waits until somebody reads this pipe; a descriptor that keeps them waiting until it is closed."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody yet
                await asyncio.sleep(0.005)


def test_pictures_that_take_long_to_read_hold_up_no_stored_embedding(tmp_path: Path, tiny: Predictor) -> None:
    bench = Bench(tmp_path, tiny, ROOST_HOT_MB="0")
    bench.open()
    slow = ["ab" * 32, "cd" * 32]
    for name in slow:
        (tmp_path / "images" / name[:2]).mkdir(parents=True, exist_ok=True)
        os.mkfifo(tmp_path / "images" / name[:2] / name)

    async def scenario() -> Found:
        await bench.ask(Urgency.CLICK)
        bench.encoder.store.flush()
        reading = [asyncio.ensure_future(bench.encoder.embedding("tokens", tiny, name, Urgency.CLICK)) for name in slow]
        pipes = [await being_read(tmp_path / "images" / name[:2] / name) for name in slow]
        try:
            return await asyncio.wait_for(bench.ask(Urgency.CLICK), PATIENCE_S)
        finally:
            for pipe in pipes:
                os.close(pipe)
            await asyncio.wait_for(asyncio.gather(*reading, return_exceptions=True), PATIENCE_S)

    found = run_async(scenario())
    bench.stop()
    assert found.how == "hit"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_embedding_from_disk_is_hot_on_the_gpu(tmp_path: Path, backend_var: Path) -> None:
    gpu = load_predictor(backend_var / "models" / "tiny", LoadOptions(device="cuda"))
    first, again = Bench(tmp_path, gpu), Bench(tmp_path, gpu)
    for bench in (first, again):
        bench.open()
        found = run_async(scenario_of_one(bench))
        bench.encoder.store.flush()
        assert {tensor.device.type for tensor in found.embedding.tensors.values()} == {"cuda"}
        bench.stop()
    assert found.how == "hit"


async def scenario_of_one(bench: Bench) -> Found:
    return await bench.ask(Urgency.CLICK)
