"""The one door to the ML backend (docs/contracts.md, native API). Every failure is a BackendError with a sentence.

Whatever comes back is checked before anybody stores or shows it: another machine made it.
"""

import base64
import binascii
import json
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import httpx
import numpy as np
from django.conf import settings

from annotator.common.errors import BackendError, MaskError
from annotator.common.masks import Rle, wire_to_rle

CONNECT_SECONDS = 2.0
CLICK_SECONDS = 10.0
PREDICT_SECONDS = 300.0
SIMILAR_SECONDS = 30.0  # somebody waits at the desk
READY_SECONDS = 3.0
IMAGES_A_WARM = 64
BY_HAND = "You can still draw by hand."
# What a person's request can cause: passed on with its own code and status.
PASSED_ON = {400, 404, 409, 422, 429, 503}


class ImageRef(Protocol):
    """What the client needs of an image row; sizes in pixels after the EXIF transpose."""

    @property
    def sha256(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...


@dataclass(frozen=True)
class Instance:
    """One predicted object; `score` = query score x presence, `mask` a whole-image RLE, box in pixels."""

    score: float
    query_score: float
    stability: float
    box: list[float]
    mask: Rle


@dataclass(frozen=True)
class ConceptPrediction:
    concept: str
    presence: float
    taught: bool | None
    instances: list[Instance]


@dataclass(frozen=True)
class ImagePrediction:
    """One image's answer; with `failure` set, a sentence, there are no concepts."""

    image: str
    concepts: dict[str, ConceptPrediction] = field(default_factory=dict)
    feature: bytes = b""
    seconds: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class DrawnMask:
    """What the model drew in a box; `score` is the IoU that it predicts itself, the mask may be empty."""

    score: float
    mask: Rle


@dataclass(frozen=True)
class DrawnImage:
    """One image's masks in the order of its boxes; with `failure` set, a sentence, there are none."""

    masks: list[DrawnMask] = field(default_factory=list)
    failure: str = ""


@dataclass(frozen=True)
class BackendStatus:
    """`state`: ready, loading, failed or away; `reason` is a sentence for the page."""

    state: str
    reason: str = ""
    versions: tuple[str, ...] = ()


def backend_status() -> BackendStatus:
    """How the backend is, without ever raising."""
    try:
        answer = _request("GET", "/ready", seconds=READY_SECONDS)
    except BackendError as error:
        state = error.code if error.code in {"loading", "failed"} else "away"
        return BackendStatus(state, str(error))
    names = answer.get("versions")
    versions = tuple(str(name) for name in names) if isinstance(names, list) else ()
    return BackendStatus("ready", versions=versions)


def version_load(*, version: str, seconds: float = PREDICT_SECONDS) -> dict[str, Any]:
    """Have the version loaded and tried out beside the others; BackendError `backend_timeout` after so many seconds."""
    return _request("POST", f"/v1/versions/{version}/load", {}, seconds=seconds)


def click(
    *,
    model_version: str,
    image: ImageRef,
    points: Sequence[dict],
    box: Sequence[float] | None = None,
    earlier_mask_id: str | None = None,
    desk: str | None = None,
    sequence: int = 0,
    preview: bool = False,
) -> dict[str, Any]:
    """The answer C, checked: masks of this image, finite scores, the version that was asked for."""
    prompts = {"points": list(points), "box": box, "earlier_mask_id": earlier_mask_id}
    order = {"desk": desk, "sequence": sequence, "preview": preview}
    body = {"model_version": model_version, "image": image.sha256, **prompts, **order}
    answer = _request("POST", "/v1/click", body, seconds=CLICK_SECONDS)
    if answer.get("model_version") != model_version or answer.get("image") != image.sha256:
        _wrong("it answered for another version or image")
    candidates = answer.get("candidates")
    if not isinstance(candidates, list) or not candidates:
        _wrong("the click came back without candidates")
    for candidate in [answer, *candidates]:
        _fraction(candidate, "score")
        _check_wire_mask(candidate.get("mask"), image)
    return answer


def predict(
    *,
    model_version: str,
    images: Sequence[ImageRef],
    concepts: Sequence[str],
    score_threshold: float = 0.3,
    exemplars: Sequence[Sequence[dict]] | None = None,
    seconds: float = PREDICT_SECONDS,
) -> list[ImagePrediction]:
    """One ViT pass an image, all concepts; at most 16 images a call. A bad image fails alone, in its own row.

    `exemplars`: for each concept a list of {box, label}: 1 an object like those that are wanted, 0 one that is not.
    """
    body = {
        "model_version": model_version,
        "images": [image.sha256 for image in images],
        "concepts": list(concepts),
        "score_threshold": score_threshold,
    }
    if exemplars is not None:
        body["exemplar_boxes"] = [list(row) for row in exemplars]
    answer = _request("POST", "/v1/predict", body, seconds=seconds)
    rows = answer.get("results")
    if answer.get("model_version") != model_version or not isinstance(rows, list) or len(rows) != len(images):
        _wrong("the prediction names another version or misses images")
    return [_image_prediction(row, image, concepts) for row, image in zip(rows, images, strict=True)]


def similar(
    *, model_version: str, image: ImageRef, concept: str, exemplars: Sequence[dict], score_threshold: float
) -> ConceptPrediction:
    """What the model finds of the concept when it is shown examples of it on this very image."""
    [found] = predict(
        model_version=model_version,
        images=[image],
        concepts=[concept],
        score_threshold=score_threshold,
        exemplars=[exemplars],
        seconds=SIMILAR_SECONDS,
    )
    if found.failure:
        raise BackendError(f"{found.failure} {BY_HAND}", code="not_predicted", http_status=422)
    return found.concepts[concept]


def boxes(*, model_version: str, boxed: Sequence[tuple[ImageRef, Sequence[Sequence[float]]]]) -> list[DrawnImage]:
    """A mask in each box [x0, y0, x1, y1] of each image: at most 16 images a call, and 64 boxes an image."""
    asked = [{"image": image.sha256, "boxes": [list(box) for box in given]} for image, given in boxed]
    answer = _request("POST", "/v1/boxes", {"model_version": model_version, "boxed": asked}, seconds=PREDICT_SECONDS)
    rows = answer.get("results")
    if answer.get("model_version") != model_version or not isinstance(rows, list) or len(rows) != len(asked):
        _wrong("the masks name another version or miss images")
    return [_drawn_image(row, image, len(given)) for row, (image, given) in zip(rows, boxed, strict=True)]


def _drawn_image(row: Any, image: ImageRef, count: int) -> DrawnImage:
    if not isinstance(row, dict) or row.get("image") != image.sha256:
        _wrong("the results are not in the order of the images")
    if "error" in row:
        return DrawnImage(failure=_sentence(row, "The image could not be read."))
    masks = row.get("masks")
    try:
        if not isinstance(masks, list) or len(masks) != count:
            _wrong("there is not a mask for each box")
        return DrawnImage([DrawnMask(_fraction(one, "score"), _rle(one, image)) for one in masks])
    except BackendError as error:
        return DrawnImage(failure=str(error))


def mask_at(*, image: ImageRef, mask_id: str, threshold: float) -> dict[str, Any]:
    """A mask that the model drew, cut at another logit than 0: below 0 looser, above 0 tighter. 404 `unknown_mask`
    once the model has forgotten it."""
    body = {"image": image.sha256, "mask_id": mask_id, "threshold": threshold}
    answer = _request("POST", "/v1/mask", body, seconds=CLICK_SECONDS)
    if answer.get("image") != image.sha256 or answer.get("mask_id") != mask_id:
        _wrong("it answered for another mask or image")
    _check_wire_mask(answer.get("mask"), image)
    return answer


def warm(*, model_version: str, images: Sequence[str]) -> int:
    """Have embeddings of these images made in the background; how many were taken."""
    queued = 0
    for start in range(0, len(images), IMAGES_A_WARM):
        body = {"model_version": model_version, "images": list(images[start : start + IMAGES_A_WARM])}
        queued += int(_request("POST", "/v1/warm", body, seconds=CLICK_SECONDS).get("queued", 0))
    return queued


def _image_prediction(row: Any, image: ImageRef, concepts: Sequence[str]) -> ImagePrediction:
    if not isinstance(row, dict) or row.get("image") != image.sha256:
        _wrong("the results are not in the order of the images")
    if "error" in row:
        return ImagePrediction(image.sha256, failure=_sentence(row, "The image could not be read."))
    try:
        return _checked_prediction(row, image, concepts)
    except BackendError as error:
        return ImagePrediction(image.sha256, failure=str(error))


def _checked_prediction(row: dict, image: ImageRef, concepts: Sequence[str]) -> ImagePrediction:
    if (row.get("width"), row.get("height")) != (image.width, image.height):
        _wrong(f"it read the image as {row.get('width')} x {row.get('height')} px")
    answers = row.get("concepts")
    if not isinstance(answers, list) or [_name(one) for one in answers] != list(concepts):
        _wrong("the concepts are not those that were asked for")
    stages = row.get("stages_ms")
    total_ms = stages.get("total", 0.0) if isinstance(stages, dict) else 0.0
    found = {one["concept"]: _concept_prediction(one, image) for one in answers}
    return ImagePrediction(image.sha256, found, _feature(row.get("feature")), float(total_ms) / 1000)


def _name(answer: Any) -> Any:
    return answer.get("concept") if isinstance(answer, dict) else None


def _concept_prediction(answer: dict, image: ImageRef) -> ConceptPrediction:
    instances, taught = answer.get("instances"), answer.get("taught")
    if not isinstance(instances, list) or taught not in (True, False, None):
        _wrong("a concept came without its instances")
    presence = _fraction(answer, "presence")
    return ConceptPrediction(answer["concept"], presence, taught, [_instance(one, image) for one in instances])


def _instance(answer: Any, image: ImageRef) -> Instance:
    if not isinstance(answer, dict):
        _wrong("an instance is no object")
    box = answer.get("box")
    if not isinstance(box, list) or len(box) != 4 or not all(_finite(value) for value in box):
        _wrong("an instance's box is not four finite numbers")
    mask = _rle(answer, image)
    score, query_score, stability = (_fraction(answer, name) for name in ("score", "query_score", "stability"))
    return Instance(score, query_score, stability, [float(value) for value in box], mask)


def _rle(answer: dict, image: ImageRef) -> Rle:
    try:
        return wire_to_rle(answer.get("mask"), height_px=image.height, width_px=image.width)
    except MaskError as error:
        _wrong(str(error))


def _feature(value: Any) -> bytes:
    """float16 bytes of the pooled feature, finite."""
    try:
        data = base64.b64decode(value or "", validate=True)
        finite = bool(np.isfinite(np.frombuffer(data, dtype=np.float16)).all())
    except (TypeError, ValueError, binascii.Error):
        finite = False
    if not finite:
        _wrong("the feature is not base64 of finite float16 numbers")
    return data


def _check_wire_mask(mask: Any, image: ImageRef) -> None:
    """Size and place only, for the click's sake: a submitted mask is decoded and checked whole."""
    size, crop = (mask.get("size"), mask.get("crop_xywh")) if isinstance(mask, dict) else (None, None)
    if size != [image.height, image.width] or not isinstance(mask.get("counts"), str):
        _wrong("a mask is made for another image size")
    if not isinstance(crop, list) or len(crop) != 4 or any(type(value) is not int or value < 0 for value in crop):
        _wrong("a mask's crop is not four whole numbers")
    if crop[0] + crop[2] > image.width or crop[1] + crop[3] > image.height:
        _wrong("a mask reaches beyond the image")


def _fraction(answer: Any, name: str) -> float:
    value: Any = answer.get(name) if isinstance(answer, dict) else None
    if not _finite(value) or not -1e-6 <= value <= 1 + 1e-6:
        _wrong(f"{name} is no number between 0 and 1")
    return min(max(float(value), 0.0), 1.0)


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_clients: dict[tuple, httpx.Client] = {}
_clients_lock = threading.Lock()


def _client() -> httpx.Client:
    """Connections are kept alive, one pool a process: after a fork a worker makes its own."""
    key = (os.getpid(), settings.MLBACKEND_URL, settings.MLBACKEND_TOKEN)
    with _clients_lock:
        if key not in _clients:
            token = settings.MLBACKEND_TOKEN
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            # trust_env off: a proxy of the environment has no business between two of our own processes.
            _clients[key] = httpx.Client(base_url=settings.MLBACKEND_URL, headers=headers, trust_env=False)
        return _clients[key]


def _request(method: str, path: str, body: dict | None = None, *, seconds: float) -> dict[str, Any]:
    timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
    try:
        response = _client().request(method, path, json=body, timeout=timeout)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        words = f"The ML backend does not answer at {settings.MLBACKEND_URL}; start it with "
        raise BackendError(f"{words}`python -m mlbackend` (or `manage.py up`). {BY_HAND}") from error
    except httpx.TimeoutException as error:
        words = f"The ML backend took longer than {seconds:.0f} s; it may be busy. Try again. {BY_HAND}"
        raise BackendError(words, code="backend_timeout", retry_after_seconds=5) from error
    except httpx.HTTPError as error:
        raise BackendError(f"The connection to the ML backend broke ({error}). Try again. {BY_HAND}") from error
    answer = _json(response)
    if response.is_error:
        raise _refusal(response, answer)
    return answer


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = json.loads(response.content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        _wrong(f"it sent no valid JSON (HTTP {response.status_code})")
    if not isinstance(answer, dict):
        _wrong("it sent no JSON object")
    return answer


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refusal(response: httpx.Response, answer: dict) -> BackendError:
    """The backend's own code and sentence where they concern the caller; our token or its bugs do not."""
    status = response.status_code
    if status == 401:
        words = "The ML backend refuses our token; set ROOST_MLBACKEND_TOKEN to the same value on both sides."
        return BackendError(f"{words} {BY_HAND}", code="backend_unauthorised", http_status=502)
    message = _sentence(answer, str(answer.get("reason") or f"The ML backend failed with HTTP {status}; see its log."))
    if status not in PASSED_ON:
        return BackendError(f"{message} {BY_HAND}", code="backend_failed", http_status=502)
    error = answer.get("error")
    code = str(error.get("code")) if isinstance(error, dict) else str(answer.get("state") or "backend_unavailable")
    wait = response.headers.get("Retry-After", "")
    retry = int(wait) if wait.isdecimal() else None
    fields = error.get("fields") if isinstance(error, dict) else None
    return BackendError(message, code=code, http_status=status, fields=fields, retry_after_seconds=retry)


def _sentence(answer: dict, otherwise: str) -> str:
    error = answer.get("error")
    return str(error.get("message") or otherwise)[:500] if isinstance(error, dict) else otherwise


def _wrong(what: str) -> NoReturn:
    words = f"The ML backend gave an answer that can't be right: {what}. Are both sides of the same release? {BY_HAND}"
    raise BackendError(words, code="backend_wrong_answer", http_status=502)
