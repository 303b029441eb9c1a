"""From a checked request to an answer: embeddings, lanes, masks. Its own state lives on the event loop: no locks."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch

from mlbackend.desks import Desks
from mlbackend.embeddings import Embedding, EmbeddingStore, HotLayer, Key, WarmLayer
from mlbackend.errors import ApiError, overloaded, overtaken, unreadable_image
from mlbackend.images import ImageError, decode_image, read_image
from mlbackend.kept import Guests, KeptMask, KeptMasks
from mlbackend.lanes import ClickLane, HeavyJob, HeavyLane, Urgency
from mlbackend.mask_logits import logits_to_wire
from mlbackend.metrics import Metrics
from mlbackend.network import PromptTooLong
from mlbackend.predictor import Candidate, ConceptResult, Predictor, Prompt
from mlbackend.settings import MIB, Settings
from mlbackend.wire import ClickRequest, MaskRequest, PredictRequest, check_box_inside, check_inside

log = logging.getLogger(__name__)
T = TypeVar("T")
GUEST_BYTES = 256 * MIB


class Found(NamedTuple):
    """how: "hit" or "miss"; busy_ms is what the model spent on a miss."""

    embedding: Embedding
    how: str
    busy_ms: float = 0.0


@dataclass
class Flight:
    """An embedding on its way: everybody who wants it waits for the same one."""

    task: asyncio.Task[Found]
    urgency: Urgency
    job: HeavyJob | None = None


class Engine:
    """One a process. Methods are coroutines of one event loop; the work itself runs in lanes and pools."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        warm = WarmLayer(settings.embeddings_dir, settings.warm_mb * MIB, shared=settings.shared_embeddings)
        self.store = EmbeddingStore(HotLayer(settings.hot_mb * MIB), warm,
                                    on_drop=lambda: metrics.count("roost_embedding_writes_dropped_total"))
        self.heavy = HeavyLane(dict.fromkeys(Urgency, settings.predict_queue) | {Urgency.CLICK: settings.click_queue})
        self.clicks: ClickLane[tuple[Predictor, Prompt], _Decoded] = ClickLane(
            _decode_clicks, most_waiting=settings.click_queue, batch=settings.click_batch)
        self.desks = Desks()
        self.kept = KeptMasks(settings.masks_mb * MIB)
        self._quick = ThreadPoolExecutor(2, "quick")  # what a click needs: warm files, its image
        self._masks = ThreadPoolExecutor(2, "masks")  # a click's masks to the wire: never behind a large picture
        self._bulk = ThreadPoolExecutor(2, "bulk")  # what mining needs: images, RLE
        self._guests = Guests(GUEST_BYTES)
        self._flights: dict[Key, Flight] = {}
        self._predicting = self._clicking = 0
        # An image on its way holds its pixels: 12 MB at 1008 px. What waits longer than this waits without them.
        self._mining, self._warming = asyncio.Semaphore(6), asyncio.Semaphore(3)
        self._background: set[asyncio.Task[Any]] = set()

    async def click(self, predictor: Predictor, request: ClickRequest) -> dict[str, Any]:
        """ApiError 429 when more clicks are under way than can be answered soon, half as many for previews."""
        with self._room_for_click(preview=request.preview):
            return await self._click(predictor, request)

    async def cut(self, request: MaskRequest) -> dict[str, Any]:
        """An answered mask at another threshold of its logits: nothing is decoded, no pixels are needed."""
        start = time.perf_counter()
        with self._room_for_click():
            kept = self.kept.find(request.mask_id, request.image)
            draw = functools.partial(logits_to_wire, kept.logits_hw, height_px=kept.height_px, width_px=kept.width_px,
                                     threshold=request.threshold)
            mask, mask_ms = await self._run(self._masks, timed, draw)
        return {"model_version": kept.model_version, "image": request.image, "mask": mask, "mask_id": request.mask_id,
                "threshold": request.threshold, "stages_ms": stages_ms(start, mask=mask_ms)}

    @contextlib.contextmanager
    def _room_for_click(self, *, preview: bool = False) -> Iterator[None]:
        if self._clicking >= self.settings.click_queue // (2 if preview else 1):
            raise overloaded("clicks", self.clicks.mean_s * self._clicking)
        self._clicking += 1
        try:
            yield
        finally:
            self._clicking -= 1

    async def _click(self, predictor: Predictor, request: ClickRequest) -> dict[str, Any]:
        start = time.perf_counter()
        self.desks.arrive(request.desk, request.sequence, preview=request.preview)
        urgency = Urgency.PREDICT if request.preview else Urgency.CLICK
        embedding, how, encode_ms = await self._embedding_for_click(predictor, request.image, urgency)
        self.desks.check(request.desk, request.sequence, preview=request.preview)
        check_inside(request, width_px=embedding.width_px, height_px=embedding.height_px)
        earlier = None
        if request.earlier_mask_id:
            side = 4 * predictor.network.grid_size
            earlier = self.kept.get(request.earlier_mask_id, request.image, (side, side))
        decoded = await self._decode(predictor, request, Prompt(embedding, request.points, request.box_xyxy, earlier))
        candidates, mask_ms = await self._run(self._masks, timed, _wire_candidates, decoded.candidates, embedding)
        for candidate, row in zip(decoded.candidates, candidates, strict=True):
            logits = candidate.mask_logits_hw.clone()  # a view would keep its whole batch in memory
            row["mask_id"] = self.kept.put(KeptMask(request.image, request.model_version, logits, embedding.height_px,
                                                    embedding.width_px))
        stages = stages_ms(start, encode=encode_ms, decode=decoded.decode_ms, mask=mask_ms)
        self._observe("click", stages, how)
        best = candidates[0]
        return {"model_version": request.model_version, "image": request.image, "mask": best["mask"],
                "score": best["score"], "mask_id": best["mask_id"], "candidates": candidates, "embedding": how,
                "stages_ms": stages}

    async def _embedding_for_click(self, predictor: Predictor, image: str, urgency: Urgency) -> Found:
        """ApiError 503 where the encode takes longer than a person waits (SAM 3 on a CPU); it goes on all the same."""
        task = asyncio.ensure_future(self.embedding("click", predictor, image, urgency))
        done, _ = await asyncio.wait({task}, timeout=self.settings.click_wait_s or 0.001)
        if not done:
            task.cancel()  # this waiter alone: the encode is shielded
            raise ApiError(503, "loading", "The model is still reading this image; click again in a moment.",
                           retry_after_s=max(1.0, self.heavy.mean_s))
        return task.result()

    async def _decode(self, predictor: Predictor, request: ClickRequest, prompt: Prompt) -> _Decoded:
        kind = (id(predictor), prompt.shape, prompt.wants_three)
        future = self.clicks.submit((predictor, prompt), kind, preview=request.preview)
        self.desks.decoding(request.desk, future, preview=request.preview)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the request itself was abandoned
            raise overtaken() from None

    async def predict(self, predictor: Predictor, request: PredictRequest) -> dict[str, Any]:
        try:
            predictor.check_concepts(request.concepts)
        except PromptTooLong as error:
            raise ApiError(400, "too_many_tokens", f"{error}.", fields={"concepts": str(error)}) from None
        if self._predicting + len(request.images) > self.settings.predict_queue:
            raise overloaded("images", self.heavy.mean_s * self._predicting)
        self._predicting += len(request.images)
        try:
            results = await asyncio.gather(*(self._predict_or_error(predictor, image, request)
                                             for image in request.images))
        finally:
            self._predicting -= len(request.images)
        return {"model_version": request.model_version, "results": results}

    async def warm(self, predictor: Predictor, images: Sequence[str]) -> int:
        """Start encodes in the background; the number that found room."""
        taken = list(images)[:max(0, self.settings.warm_queue - len(self._background))]
        for image in taken:
            task = asyncio.create_task(self._warm_one(predictor, image))
            self._background.add(task)
            task.add_done_callback(self._background.discard)
        return len(taken)

    async def embedding(self, layer: str, predictor: Predictor, image: str, urgency: Urgency) -> Found:
        """The layer's tensors. Concurrent callers share one encode."""
        key = self._key(layer, predictor, image)
        hot = self.store.hot.get(key)
        if hot is not None:
            return Found(hot, "hit")
        flight = self._flights.get(key)
        if flight is None:
            make = self._make_click_input if layer == "click" else self._make_tokens
            flight = Flight(asyncio.create_task(make(predictor, key, urgency)), urgency)
            self._flights[key] = flight
            flight.task.add_done_callback(lambda task: self._land(key, task))
        else:
            self._hurry(key, predictor, urgency)
        return await asyncio.shield(flight.task)

    def lend(self, data: bytes) -> str:
        """Take an image that is in no store of ours; its content hash, by which it can now be asked about."""
        return self._guests.put(data)

    async def has_image(self, predictor: Predictor, image: str) -> bool:
        """Whether a lent image can still be answered about without its bytes being lent again."""
        if self._guests.get(image) is not None:
            return True
        key = self._key("tokens", predictor, image)
        return (self.store.hot.get(key) is not None
                or await self._run(self._quick, self.store.warm.get, key) is not None)

    def close(self) -> None:
        self.heavy.stop()
        self.clicks.stop()
        self.store.close()
        for pool in (self._quick, self._masks, self._bulk):
            pool.shutdown(wait=False, cancel_futures=True)

    def _land(self, key: Key, task: asyncio.Task[Any]) -> None:
        self._flights.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen here, so that an abandoned flight does not warn

    def _hurry(self, key: Key, predictor: Predictor, urgency: Urgency) -> None:
        """A person now waits for what mining or warming asked for."""
        flight = self._flights.get(key)
        if flight is None or urgency >= flight.urgency:
            return
        flight.urgency = urgency
        if flight.job is not None:
            self.heavy.raise_to(flight.job, urgency)
        if key.layer == "click":
            self._hurry(self._key("tokens", predictor, key.image), predictor, urgency)

    @staticmethod
    def _key(layer: str, predictor: Predictor, image: str) -> Key:
        weights = predictor.click_hash if layer == "click" else predictor.backbone_hash
        return Key(layer, image, weights, predictor.preprocessing)

    async def _make_tokens(self, predictor: Predictor, key: Key, urgency: Urgency) -> Found:
        pool = self._pool(urgency)
        warm = await self._run(pool, self.store.warm.get, key)
        if warm is not None:
            self.store.hot.put(key, warm)
            return Found(warm, "hit")
        pixels, size_wh = await self._run(pool, self._pixels, predictor, key.image, self._guests.get(key.image))
        entry, busy_ms = await self._heavy(key, urgency, lambda: predictor.encode(pixels[None], [size_wh])[0], "encode")
        self.store.put(key, entry)
        return Found(entry, "miss", busy_ms)

    async def _make_click_input(self, predictor: Predictor, key: Key, urgency: Urgency) -> Found:
        warm = await self._run(self._pool(urgency), self.store.warm.get, key)
        if warm is not None:
            self.store.hot.put(key, warm)
            return Found(warm, "hit")
        tokens = await self.embedding("tokens", predictor, key.image, self._urgency_now(key, urgency))
        entry, busy_ms = await self._heavy(key, urgency, lambda: predictor.click_features(tokens.embedding),
                                           "click_input")
        self.store.put(key, entry)
        return Found(entry, "miss", tokens.busy_ms + busy_ms)

    def _urgency_now(self, key: Key, urgency: Urgency) -> Urgency:
        flight = self._flights.get(key)
        return flight.urgency if flight is not None else urgency

    async def _heavy(self, key: Key, urgency: Urgency, run: Callable[[], T], stage: str) -> tuple[T, float]:
        """The value, and the milliseconds that making it took, without the wait for its turn."""
        urgency = self._urgency_now(key, urgency)
        if stage == "click_input" and urgency is Urgency.CLICK:  # short, and a person waits: not behind an encode
            value, busy_ms = await self._run(self._quick, timed, spare_memory, run)
        else:
            job = self.heavy.submit(lambda: timed(spare_memory, run), urgency)
            flight = self._flights.get(key)
            if flight is not None:
                flight.job = job
            value, busy_ms = await asyncio.wrap_future(job.future)
        self.metrics.observe_ms("roost_stage_ms", busy_ms, stage=stage)
        return value, busy_ms

    async def _predict_or_error(self, predictor: Predictor, image: str, request: PredictRequest) -> dict[str, Any]:
        try:
            async with self._mining:
                return await self._predict_one(predictor, image, request)
        except ApiError as error:
            return {"image": image, "error": error.body()}

    async def _predict_one(self, predictor: Predictor, image: str, request: PredictRequest) -> dict[str, Any]:
        start = time.perf_counter()
        tokens, how, encode_ms = await self.embedding("tokens", predictor, image, Urgency.PREDICT)
        for c, row in enumerate(request.exemplars):
            for i, exemplar in enumerate(row):
                check_box_inside(exemplar.box_xyxy, f"exemplar_boxes[{c}][{i}]", width_px=tokens.width_px,
                                 height_px=tokens.height_px)
        job = self.heavy.submit(
            lambda: timed(spare_memory, lambda: predictor.detect(
                tokens, request.concepts, score_threshold=request.score_threshold, exemplars=request.exemplars)),
            Urgency.PREDICT)
        found, detect_ms = await asyncio.wrap_future(job.future)
        concepts, mask_ms = await self._run(self._bulk, timed, _wire_concepts, found, tokens)
        feature = await self._run(self._bulk, _feature_base64, predictor, tokens)
        stages = stages_ms(start, encode=encode_ms, detect=detect_ms, mask=mask_ms)
        self._observe("predict", stages, how)
        return {"image": image, "width": tokens.width_px, "height": tokens.height_px, "embedding": how,
                "feature": feature, "concepts": concepts, "stages_ms": stages}

    async def _warm_one(self, predictor: Predictor, image: str) -> None:
        try:
            async with self._warming:
                await self.embedding("tokens", predictor, image, Urgency.WARM)
                await self.embedding("click", predictor, image, Urgency.WARM)
        except ApiError as error:
            log.info("not warmed: %s", error.message)
            self.metrics.count("roost_warm_failed_total", code=error.code)
        except Exception:
            log.exception("not warmed: %s", image)

    def _pixels(self, predictor: Predictor, image: str, guest: bytes | None) -> tuple[torch.Tensor, tuple[int, int]]:
        most = self.settings.max_image_pixels
        if guest is None:
            pixels = read_image(self.settings.images_dir, image, max_pixels=most)
        else:
            try:
                pixels = decode_image(guest, max_pixels=most)
            except ImageError as error:
                raise unreadable_image(image, str(error)) from None
        return predictor.preprocess(pixels), (pixels.shape[1], pixels.shape[0])

    def _pool(self, urgency: Urgency) -> ThreadPoolExecutor:
        return self._quick if urgency is Urgency.CLICK else self._bulk

    async def _run(self, pool: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)

    def _observe(self, call: str, stages: dict[str, float], how: str) -> None:
        self.metrics.count("roost_embedding_lookups_total", call=call, result=how)
        for stage, value in stages.items():
            self.metrics.observe_ms("roost_request_ms", value, call=call, stage=stage)


def timed(function: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    start = time.perf_counter()
    value = function(*arguments)
    return value, (time.perf_counter() - start) * 1e3


def stages_ms(start: float, **stages: float) -> dict[str, float]:
    """The stages, "total" since start, and as "wait" what no stage accounts for."""
    total = (time.perf_counter() - start) * 1e3
    rows = {"wait": max(0.0, total - sum(stages.values())), **stages, "total": total}
    return {stage: round(value, 2) for stage, value in rows.items()}


@dataclass(frozen=True)
class _Decoded:
    candidates: list[Candidate]
    decode_ms: float


def spare_memory(run: Callable[[], T]) -> T:
    """Run on the model; a device that is out of memory is overload, and not the end of the server."""
    try:
        return run()
    except torch.OutOfMemoryError:
        log.exception("out of device memory")
        torch.cuda.empty_cache()
        raise overloaded("requests for the device's memory", 5.0) from None


def _decode_clicks(items: Sequence[tuple[Predictor, Prompt]]) -> list[_Decoded]:
    predictor, prompts = items[0][0], [prompt for _, prompt in items]
    answers, spent_ms = timed(spare_memory, lambda: predictor.click(prompts))
    return [_Decoded(candidates, spent_ms) for candidates in answers]


def _wire_candidates(candidates: Sequence[Candidate], embedding: Embedding) -> list[dict[str, Any]]:
    return [{"mask": logits_to_wire(candidate.mask_logits_hw, height_px=embedding.height_px,
                                    width_px=embedding.width_px), "score": round(candidate.score, 5)}
            for candidate in candidates]


def _feature_base64(predictor: Predictor, tokens: Embedding) -> str:
    return base64.b64encode(predictor.feature(tokens).tobytes()).decode("ascii")


def _wire_concepts(found: Sequence[ConceptResult], embedding: Embedding) -> list[dict[str, Any]]:
    return [{"concept": result.concept, "presence": round(result.presence, 6), "taught": result.taught,
             "instances": [{"score": round(instance.score, 6), "query_score": round(instance.query_score, 6),
                            "stability": round(instance.stability, 5),
                            "box": [round(value, 2) for value in instance.box_xyxy],
                            "mask": logits_to_wire(instance.mask_logits_hw, height_px=embedding.height_px,
                                                   width_px=embedding.width_px)}
                           for instance in result.instances]}
            for result in found]
