"""Label Studio's calls answered by the engine."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from cachetools import TTLCache

from mlbackend.errors import ApiError, bad_request
from mlbackend.label_studio.fetch import Fetcher, refused
from mlbackend.label_studio.label_config import Control, LabelConfig, parse_label_config
from mlbackend.label_studio.prompts import read_context
from mlbackend.label_studio.regions import mask_regions
from mlbackend.model.masks import decode_wire_mask
from mlbackend.serving.lanes import Urgency
from mlbackend.serving.requests import MAX_CONCEPTS, ClickRequest, PredictRequest

if TYPE_CHECKING:
    from mlbackend.model.predictor import Predictor
    from mlbackend.serving.engine import Engine

log = logging.getLogger(__name__)
URLS_KEPT = 10_000
URL_TRUSTED_S = 300.0
MAX_TASKS = 256


class LabelStudioService:
    """One a process; used from the event loop."""

    def __init__(self, fetcher: Fetcher, *, score_threshold: float, concepts: tuple[str, ...] = ()) -> None:
        self._fetcher = fetcher
        self._threshold = score_threshold
        self._concepts = concepts
        self._pool = ThreadPoolExecutor(4, "label-studio")
        self._urls: TTLCache[str, str] = TTLCache(URLS_KEPT, URL_TRUSTED_S)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def predict(self, engine: Engine, predictor: Predictor, version: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to /predict: a click when there is a context, else pre-labels of every task."""
        tasks = body.get("tasks")
        if not isinstance(tasks, list) or len(tasks) > MAX_TASKS or not all(isinstance(task, dict) for task in tasks):
            raise bad_request(f"tasks must be a list of at most {MAX_TASKS} tasks.", "tasks")
        config = parse_label_config(body.get("label_config"))
        params = body.get("params")
        context = params.get("context") if isinstance(params, dict) else None
        if context is not None:
            if len(tasks) != 1:
                raise bad_request("An interactive prediction is about one task.", "tasks")
            return {"results": [await self._interactive(engine, predictor, version, tasks[0], config, context)]}
        return await self._batch(engine, predictor, version, tasks, config)

    async def _interactive(
        self,
        engine: Engine,
        predictor: Predictor,
        version: str,
        task: dict[str, Any],
        config: LabelConfig,
        context: Any,
    ) -> dict[str, Any]:
        control = config.mask_control()
        image = await self._image(engine, predictor, task, config)
        embedding = (await engine.encoder.embedding("click", predictor, image, Urgency.CLICK)).embedding
        prompts = read_context(context, width_px=embedding.width_px, height_px=embedding.height_px)
        answer = await engine.click(predictor, ClickRequest(version, image, prompts.points, prompts.box_xyxy))
        regions = await self._run(_regions, answer["mask"], control, prompts.label, answer["score"])
        return {"model_version": version, "score": answer["score"], "result": regions}

    async def _batch(
        self, engine: Engine, predictor: Predictor, version: str, tasks: list[dict[str, Any]], config: LabelConfig
    ) -> dict[str, Any]:
        """results[i] belongs to tasks[i]; a task that could not be read gets no prediction and is named in `errors`."""
        control = config.mask_control()
        concepts = self._concepts or control.labels
        if not 0 < len(concepts) <= MAX_CONCEPTS:
            raise bad_request(
                f"{control.kind} must hold 1 to {MAX_CONCEPTS} labels: the concepts to look for.", "label_config"
            )
        answers = await asyncio.gather(
            *(self._prelabel(engine, predictor, version, task, config, control, concepts) for task in tasks)
        )
        errors = [
            {"task": task.get("id"), **answer.body()}
            for task, answer in zip(tasks, answers, strict=True)
            if isinstance(answer, ApiError)
        ]
        if errors and len(errors) == len(tasks):
            first = next(answer for answer in answers if isinstance(answer, ApiError))
            raise first
        results = [[] if isinstance(answer, ApiError) else answer for answer in answers]
        return {"results": results, **({"errors": errors} if errors else {})}

    async def _prelabel(
        self,
        engine: Engine,
        predictor: Predictor,
        version: str,
        task: dict[str, Any],
        config: LabelConfig,
        control: Control,
        concepts: tuple[str, ...],
    ) -> dict[str, Any] | ApiError:
        try:
            image = await self._image(engine, predictor, task, config)
            answer = await engine.predict(predictor, PredictRequest(version, (image,), concepts, self._threshold))
            result = answer["results"][0]
            if "error" in result:
                raise ApiError(422, result["error"]["code"], result["error"]["message"])
        except ApiError as error:
            if error.status == 429 or error.code == "too_many_tokens":
                raise
            log.warning("task %s not labelled: %s", task.get("id"), error.message)
            return error
        return await self._run(_prediction, result, control, version, self._threshold)

    async def _image(self, engine: Engine, predictor: Predictor, task: dict[str, Any], config: LabelConfig) -> str:
        """The content hash of the task's image, fetched unless we know it and have its embedding."""
        data = task.get("data")
        url = data.get(config.image_key) if isinstance(data, dict) else None
        if not isinstance(url, str) or not 0 < len(url) <= 4_096:
            raise bad_request(f"The task has no image address under data.{config.image_key}.", "tasks")
        known = self._urls.get(url)
        if known is not None and await engine.encoder.has_image(predictor, known):
            return known
        content = await self._run(self._fetcher.fetch, url)
        if not content:
            raise refused("it is empty")
        image = engine.encoder.lend(content)
        self._urls[url] = image
        return image

    async def _run(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


def _regions(wire: Any, control: Control, label: str | None, score: float) -> list[dict[str, Any]]:
    label = label or (control.labels[0] if control.labels else None)
    return mask_regions(decode_wire_mask(wire), control, label, score)


def _prediction(result: dict[str, Any], control: Control, version: str, threshold: float) -> dict[str, Any]:
    """One task's prediction. Its score is the mean over instances, or how sure the model is that there is none."""
    regions: list[dict[str, Any]] = []
    scores: list[float] = []
    for concept in result["concepts"]:
        label = _label_of(concept["concept"], control)
        for instance in concept["instances"]:
            if instance["score"] >= threshold:
                regions += _regions(instance["mask"], control, label, instance["score"])
                scores.append(instance["score"])
    absent = 1 - max(concept["presence"] for concept in result["concepts"])
    score = sum(scores) / len(scores) if scores else absent
    return {"model_version": version, "score": round(score, 5), "result": regions}


def _label_of(concept: str, control: Control) -> str | None:
    """The label as the config spells it; with one fixed concept and one label they belong together."""
    for label in control.labels:
        if label.strip().lower() == concept.lower():
            return label
    return control.labels[0] if len(control.labels) == 1 else None
