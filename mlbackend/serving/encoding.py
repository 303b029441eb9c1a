"""Embeddings of images, each made once however many ask for it. Its state lives on the event loop: no locks."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch

from mlbackend.errors import unreadable_image
from mlbackend.model.predictor import Predictor
from mlbackend.serving.caches import LentImages
from mlbackend.serving.lanes import HeavyJob, HeavyLane, Urgency
from mlbackend.serving.metrics import Metrics
from mlbackend.serving.stages import timed_shares
from mlbackend.settings import MIB, Settings
from mlbackend.store.buckets import Bucket
from mlbackend.store.embeddings import Embedding, EmbeddingStore, HotLayer, Key, WarmLayer
from mlbackend.store.images import ImageError, decode_image, read_image
from mlbackend.store.shared import shared_at

T = TypeVar("T")
LENT_BYTES = 256 * MIB
BATCH_ON_A_GPU = 8


class Found(NamedTuple):
    """how: "hit" or "miss"; busy_ms is what the model spent on a miss."""

    embedding: Embedding
    how: str
    busy_ms: float = 0.0


@dataclass
class Flight:
    """An embedding in progress: all callers wait for the same one."""

    key: Key
    urgency: Urgency
    waiting: int = 0
    job: HeavyJob | None = None
    task: asyncio.Task[Found] = field(init=False)

    @property
    def droppable(self) -> bool:
        """True when no caller waits and the model has not started. Images that were clicked on are encoded anyway:
        another click will follow."""
        begun = self.job is not None and not self.job.waiting
        return not self.waiting and not begun and self.urgency is not Urgency.CLICK and not self.task.done()


class Encoder:
    """Hot, warm or encoded now. Reads files and pictures on its pools, and uses the model in the heavy lane."""

    def __init__(self, settings: Settings, metrics: Metrics, heavy: HeavyLane, bulk: ThreadPoolExecutor) -> None:
        self._settings, self._metrics, self._heavy, self._bulk = settings, metrics, heavy, bulk
        warm = WarmLayer(
            settings.embeddings_dir,
            settings.warm_mb * MIB,
            shared=shared_at(settings.shared_embeddings, settings.s3_endpoint),
        )
        self.store = EmbeddingStore(
            HotLayer(settings.hot_mb * MIB), warm, on_drop=lambda: metrics.count("roost_embedding_writes_dropped_total")
        )
        self._quick = ThreadPoolExecutor(2, "quick")  # what a click needs at once: warm files, the decoder's input
        self._pictures = ThreadPoolExecutor(2, "pictures")  # what a click waits for where its image is new
        self._bucket = Bucket(settings.images_bucket, settings.s3_endpoint) if settings.images_bucket else None
        self._lent = LentImages(LENT_BYTES)
        self._flights: dict[Key, Flight] = {}

    async def embedding(self, layer: str, predictor: Predictor, image: str, urgency: Urgency) -> Found:
        """The layer's tensors. Concurrent callers share one encode, which is dropped if all of them are cancelled."""
        key = embedding_key(layer, predictor, image)
        hot = self.store.hot.get(key)
        if hot is not None:
            return Found(hot, "hit")
        flight = self._flights.get(key) or self._take_off(key, predictor, urgency)
        self._hurry(flight, predictor, urgency)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.droppable:
                self._land(flight)
                flight.task.cancel()

    def lend(self, data: bytes) -> str:
        """Accept an image that is not in the image store; returns its content hash, by which it can be asked about."""
        return self._lent.put(data)

    async def has_image(self, predictor: Predictor, image: str) -> bool:
        """Whether a lent image can still be answered about without its bytes being lent again."""
        if self._lent.get(image) is not None:
            return True
        key = embedding_key("tokens", predictor, image)
        return self.store.hot.get(key) is not None or await _run(self._quick, self.store.warm.get, key) is not None

    def close(self) -> None:
        self.store.close()
        for pool in (self._quick, self._pictures):
            pool.shutdown(wait=False, cancel_futures=True)

    def _take_off(self, key: Key, predictor: Predictor, urgency: Urgency) -> Flight:
        flight = Flight(key, urgency)
        make = self._make_click_input if key.layer == "click" else self._make_tokens
        flight.task = asyncio.create_task(make(predictor, flight))
        flight.task.add_done_callback(lambda _: self._land(flight))
        self._flights[key] = flight
        return flight

    def _land(self, flight: Flight) -> None:
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # read here, so that asyncio does not warn about an unread exception
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    def _hurry(self, flight: Flight, predictor: Predictor, urgency: Urgency) -> None:
        """Move a queued encode forward because a click now waits for it."""
        if urgency >= flight.urgency:
            return
        flight.urgency = urgency
        if flight.job is not None:
            self._heavy.raise_to(flight.job, urgency)
        tokens = self._flights.get(embedding_key("tokens", predictor, flight.key.image))
        if flight.key.layer == "click" and tokens is not None:
            self._hurry(tokens, predictor, urgency)

    async def _make_tokens(self, predictor: Predictor, flight: Flight) -> Found:
        key = flight.key
        if (warm := await self._warm(predictor, flight)) is not None:
            return warm
        pool = self._pictures if flight.urgency is Urgency.CLICK else self._bulk
        picture = await _run(pool, self._pixels, predictor, key.image, self._lent.get(key.image))
        entry, busy_ms = await self._on_model(
            flight,
            functools.partial(_encode, predictor),
            picture,
            "encode",
            kind=("encode", key.weights, key.preprocessing),
        )
        self.store.put(key, entry)
        return Found(entry, "miss", busy_ms)

    async def _make_click_input(self, predictor: Predictor, flight: Flight) -> Found:
        if (warm := await self._warm(predictor, flight)) is not None:
            return warm
        tokens = await self.embedding("tokens", predictor, flight.key.image, flight.urgency)
        entry, busy_ms = await self._on_model(
            flight, functools.partial(_click_input, predictor), tokens.embedding, "click_input"
        )
        self.store.put(flight.key, entry)
        return Found(entry, "miss", tokens.busy_ms + busy_ms)

    async def _warm(self, predictor: Predictor, flight: Flight) -> Found | None:
        """Load from disk to the device, ready for the next click."""
        pool = self._quick if flight.urgency is Urgency.CLICK else self._bulk
        stored = await _run(pool, self.store.warm.get, flight.key)
        if stored is None:
            return None
        hot = await _run(pool, stored.on, predictor.device)
        self.store.hot.put(flight.key, hot)
        return Found(hot, "hit")

    async def _on_model(
        self,
        flight: Flight,
        work: Callable[[list[Any]], Sequence[T]],
        item: Any,
        stage: str,
        *,
        kind: Hashable | None = None,
    ) -> tuple[T, float]:
        """The value, and the milliseconds that making it took, without the wait for its turn."""
        run = functools.partial(timed_shares, work)
        if stage == "click_input" and flight.urgency is Urgency.CLICK:  # short, and a person waits: not behind encodes
            value, busy_ms = (await _run(self._quick, run, [item]))[0]
        else:
            flight.job = self._heavy.submit(run, item, flight.urgency, kind=kind)
            value, busy_ms = await asyncio.wrap_future(flight.job.future)
        self._metrics.observe_ms("roost_stage_ms", busy_ms, stage=stage)
        return value, busy_ms

    def _pixels(self, predictor: Predictor, image: str, lent: bytes | None) -> tuple[torch.Tensor, tuple[int, int]]:
        most = self._settings.max_image_pixels
        if lent is None:
            pixels = read_image(self._settings.images_dir, image, max_pixels=most, bucket=self._bucket)
        else:
            try:
                pixels = decode_image(lent, max_pixels=most)
            except ImageError as error:
                raise unreadable_image(image, str(error)) from None
        return predictor.preprocess(pixels), (pixels.shape[1], pixels.shape[0])


def encode_batch(settings: Settings) -> int:
    """Images a ViT pass. On a CPU a batch is no faster and makes a click wait longer."""
    on_gpu = settings.device != "cpu" and torch.cuda.is_available()
    return settings.encode_batch or (BATCH_ON_A_GPU if on_gpu else 1)


def embedding_key(layer: str, predictor: Predictor, image: str) -> Key:
    weights = predictor.click_hash if layer == "click" else predictor.backbone_hash
    return Key(layer, image, weights, predictor.preprocessing)


def _encode(predictor: Predictor, pictures: Sequence[tuple[torch.Tensor, tuple[int, int]]]) -> list[Embedding]:
    return predictor.encode(torch.stack([pixels for pixels, _ in pictures]), [size_wh for _, size_wh in pictures])


def _click_input(predictor: Predictor, tokens: Sequence[Embedding]) -> list[Embedding]:
    return [predictor.click_features(one) for one in tokens]


async def _run(pool: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
