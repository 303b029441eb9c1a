"""From a checked request to an answer: embeddings, lanes, masks. Its own state lives on the event loop: no locks."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from mlbackend.errors import ApiError, overloaded, overtaken
from mlbackend.model.inputs import PromptTooLong
from mlbackend.model.logits import logits_to_wire
from mlbackend.model.predictor import Candidate, ConceptResult, Predictor, Prompt
from mlbackend.serving.answers import feature_base64, wire_candidates, wire_concepts
from mlbackend.serving.caches import CachedMask, MaskCache
from mlbackend.serving.desks import Desks
from mlbackend.serving.encoding import Encoder, Found, encode_batch
from mlbackend.serving.lanes import ClickLane, HeavyLane, Urgency
from mlbackend.serving.metrics import Metrics
from mlbackend.serving.requests import (
    BoxedImage,
    BoxesRequest,
    ClickRequest,
    MaskRequest,
    PredictRequest,
    check_box_inside,
    check_inside,
)
from mlbackend.serving.stages import spare_memory, stages_ms, timed, timed_shares
from mlbackend.settings import MIB, Settings
from mlbackend.store.embeddings import Embedding

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[], Awaitable[dict[str, Any]]]
BULK_THREADS = max(2, min(8, (os.cpu_count() or 2) // 2))  # a GPU reads images faster than two threads decode them


class Engine:
    """One a process. Methods are coroutines of one event loop; the work itself runs in lanes and pools."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        batch = encode_batch(settings)
        self.heavy = HeavyLane(
            dict.fromkeys(Urgency, settings.predict_queue) | {Urgency.CLICK: settings.click_queue}, batch=batch
        )
        self.clicks: ClickLane[tuple[Predictor, Prompt], _Decoded] = ClickLane(
            _decode_clicks, most_waiting=settings.click_queue, batch=settings.click_batch
        )
        self._masks = ThreadPoolExecutor(2, "masks")  # a click's masks to the wire: never behind a large picture
        self._bulk = ThreadPoolExecutor(BULK_THREADS, "bulk")  # what mining needs: images, RLE
        self.encoder = Encoder(settings, metrics, self.heavy, self._bulk)
        self.desks = Desks()
        self.mask_cache = MaskCache(settings.masks_mb * MIB)
        self._predicting = self._clicking = 0
        # An image in progress keeps its pixels in memory: 12 MB at 1008 px. After this many, images wait undecoded.
        self._mining, self._warming = asyncio.Semaphore(4 + 2 * batch), asyncio.Semaphore(2 + batch)
        self._background: set[asyncio.Task[Any]] = set()

    async def click(self, predictor: Predictor, request: ClickRequest) -> dict[str, Any]:
        """ApiError 429 when more clicks are under way than can be answered soon, half as many for previews."""
        with self._room_for_click(preview=request.preview):
            return await self._click(predictor, request)

    async def cut(self, request: MaskRequest) -> dict[str, Any]:
        """An answered mask at another threshold of its logits: nothing is decoded, no pixels are needed."""
        start = time.perf_counter()
        with self._room_for_click():
            cached = self.mask_cache.find(request.mask_id, request.image)
            draw = functools.partial(
                logits_to_wire,
                cached.logits_hw,
                height_px=cached.height_px,
                width_px=cached.width_px,
                threshold=request.threshold,
            )
            mask, mask_ms = await self._run(self._masks, timed, draw)
        return {
            "model_version": cached.model_version,
            "image": request.image,
            "mask": mask,
            "mask_id": request.mask_id,
            "threshold": request.threshold,
            "stages_ms": stages_ms(start, mask=mask_ms),
        }

    async def predict(self, predictor: Predictor, request: PredictRequest) -> dict[str, Any]:
        try:
            predictor.check_concepts(request.concepts)
        except PromptTooLong as error:
            raise ApiError(400, "too_many_tokens", f"{error}.", fields={"concepts": str(error)}) from None
        results = await self._for_each(
            [(image, functools.partial(self._predict_one, predictor, image, request)) for image in request.images]
        )
        return {"model_version": request.model_version, "results": results}

    async def boxes(self, predictor: Predictor, request: BoxesRequest) -> dict[str, Any]:
        """A mask for each box, as a click with that box alone draws it; with mining's patience, behind every click."""
        results = await self._for_each(
            [(asked.image, functools.partial(self._boxes_of_one, predictor, asked)) for asked in request.boxed]
        )
        return {"model_version": request.model_version, "results": results}

    async def warm(self, predictor: Predictor, images: Sequence[str]) -> int:
        """Start encodes in the background; the number that found room."""
        taken = list(images)[: max(0, self.settings.warm_queue - len(self._background))]
        for image in taken:
            task = asyncio.create_task(self._warm_one(predictor, image))
            self._background.add(task)
            task.add_done_callback(self._background.discard)
        return len(taken)

    def close(self) -> None:
        self.heavy.stop()
        self.clicks.stop()
        self.encoder.close()
        for pool in (self._masks, self._bulk):
            pool.shutdown(wait=False, cancel_futures=True)

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
            earlier = self.mask_cache.get(request.earlier_mask_id, request.image, (side, side))
        decoded = await self._decode(predictor, request, Prompt(embedding, request.points, request.box_xyxy, earlier))
        candidates, mask_ms = await self._run(self._masks, timed, wire_candidates, decoded.candidates, embedding)
        for candidate, row in zip(decoded.candidates, candidates, strict=True):
            row["mask_id"] = self._keep(request, candidate, embedding)
        stages = stages_ms(start, encode=encode_ms, decode=decoded.decode_ms, mask=mask_ms)
        self._observe("click", stages, how)
        best = candidates[0]
        return {
            "model_version": request.model_version,
            "image": request.image,
            "mask": best["mask"],
            "score": best["score"],
            "mask_id": best["mask_id"],
            "candidates": candidates,
            "embedding": how,
            "stages_ms": stages,
        }

    async def _embedding_for_click(self, predictor: Predictor, image: str, urgency: Urgency) -> Found:
        """ApiError 503 where the encode takes longer than a person waits (SAM 3 on a CPU); it goes on all the same."""
        task = asyncio.ensure_future(self.encoder.embedding("click", predictor, image, urgency))
        done, _ = await asyncio.wait({task}, timeout=self.settings.click_wait_s or 0.001)
        if not done:  # the task waits on, or a preview's encode would be dropped
            task.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise ApiError(
                503,
                "loading",
                "The model is still reading this image; click again in a moment.",
                retry_after_s=max(1.0, self.heavy.mean_s),
            )
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

    def _keep(self, request: ClickRequest, candidate: Candidate, embedding: Embedding) -> str:
        logits = candidate.mask_logits_hw.clone()  # a tensor view would hold its whole batch in memory
        return self.mask_cache.put(
            CachedMask(request.image, request.model_version, logits, embedding.height_px, embedding.width_px)
        )

    async def _for_each(self, work: Sequence[tuple[str, Work]]) -> list[dict[str, Any]]:
        """What the work on each image answers, in order; one that can't be read fails alone. 429 when too many wait."""
        if self._predicting + len(work) > self.settings.predict_queue:
            raise overloaded("images", self.heavy.mean_s * self._predicting)
        self._predicting += len(work)
        try:
            return await asyncio.gather(*(self._or_error(image, ask) for image, ask in work))
        finally:
            self._predicting -= len(work)

    async def _or_error(self, image: str, ask: Work) -> dict[str, Any]:
        try:
            async with self._mining:
                return await ask()
        except ApiError as error:
            return {"image": image, "error": error.body()}

    async def _boxes_of_one(self, predictor: Predictor, asked: BoxedImage) -> dict[str, Any]:
        start = time.perf_counter()
        found, how, encode_ms = await self.encoder.embedding("click", predictor, asked.image, Urgency.PREDICT)
        for i, box in enumerate(asked.boxes_xyxy):
            check_box_inside(box, f"boxes[{i}]", width_px=found.width_px, height_px=found.height_px)
        candidates, decode_ms = await self._decode_boxes(
            predictor, [Prompt(found, (), box) for box in asked.boxes_xyxy]
        )
        masks, mask_ms = await self._run(self._bulk, timed, wire_candidates, candidates, found)
        stages = stages_ms(start, encode=encode_ms, decode=decode_ms, mask=mask_ms)
        self._observe("boxes", stages, how)
        size = {"width": found.width_px, "height": found.height_px}
        return {"image": asked.image, **size, "embedding": how, "masks": masks, "stages_ms": stages}

    async def _decode_boxes(self, predictor: Predictor, prompts: Sequence[Prompt]) -> tuple[list[Candidate], float]:
        """In the heavy lane, few at a time: no click waits for its decoder behind them, nor long for its encode."""
        work = functools.partial(timed_shares, lambda chunks: [predictor.click(chunk) for chunk in chunks])
        candidates: list[Candidate] = []
        spent_ms = 0.0
        for start in range(0, len(prompts), self.settings.click_batch):
            job = self.heavy.submit(work, prompts[start : start + self.settings.click_batch], Urgency.PREDICT)
            answers, ms = await asyncio.wrap_future(job.future)
            candidates += [answer[0] for answer in answers]
            spent_ms += ms
        return candidates, spent_ms

    async def _predict_one(self, predictor: Predictor, image: str, request: PredictRequest) -> dict[str, Any]:
        start = time.perf_counter()
        tokens, how, encode_ms = await self.encoder.embedding("tokens", predictor, image, Urgency.PREDICT)
        found, detect_ms = await self._detect(predictor, tokens, request)
        concepts, mask_ms = await self._run(self._bulk, timed, wire_concepts, found, tokens)
        feature = await self._run(self._bulk, feature_base64, predictor, tokens)
        stages = stages_ms(start, encode=encode_ms, detect=detect_ms, mask=mask_ms)
        self._observe("predict", stages, how)
        return {
            "image": image,
            "width": tokens.width_px,
            "height": tokens.height_px,
            "embedding": how,
            "feature": feature,
            "concepts": concepts,
            "stages_ms": stages,
        }

    async def _detect(
        self,
        predictor: Predictor,
        tokens: Embedding,
        request: PredictRequest,
    ) -> tuple[list[ConceptResult], float]:
        """Images that are asked the same question share a call; exemplars are boxes on one image, so those don't."""
        for c, row in enumerate(request.exemplars):
            for i, exemplar in enumerate(row):
                check_box_inside(
                    exemplar.box_xyxy, f"exemplar_boxes[{c}][{i}]", width_px=tokens.width_px, height_px=tokens.height_px
                )
        work = functools.partial(
            predictor.detect_each,
            concepts=request.concepts,
            score_threshold=request.score_threshold,
            exemplars=request.exemplars,
        )
        kind = None if request.exemplars else ("detect", id(predictor), request.concepts, request.score_threshold)
        job = self.heavy.submit(functools.partial(timed_shares, work), tokens, Urgency.PREDICT, kind=kind)
        return await asyncio.wrap_future(job.future)

    async def _warm_one(self, predictor: Predictor, image: str) -> None:
        try:
            async with self._warming:
                await self.encoder.embedding("tokens", predictor, image, Urgency.WARM)
                await self.encoder.embedding("click", predictor, image, Urgency.WARM)
        except ApiError as error:
            log.info("not warmed: %s", error.message)
            self.metrics.count("roost_warm_failed_total", code=error.code)
        except Exception:
            log.exception("not warmed: %s", image)

    async def _run(self, pool: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)

    def _observe(self, call: str, stages: dict[str, float], how: str) -> None:
        self.metrics.count("roost_embedding_lookups_total", call=call, result=how)
        for stage, value in stages.items():
            self.metrics.observe_ms("roost_request_ms", value, call=call, stage=stage)


@dataclass(frozen=True)
class _Decoded:
    candidates: list[Candidate]
    decode_ms: float


def _decode_clicks(items: Sequence[tuple[Predictor, Prompt]]) -> list[_Decoded]:
    predictor, prompts = items[0][0], [prompt for _, prompt in items]
    answers, spent_ms = timed(spare_memory, lambda: predictor.click(prompts))
    return [_Decoded(candidates, spent_ms) for candidates in answers]
