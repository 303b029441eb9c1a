"""Requests of the native API, from JSON to checked records. Every refusal names the field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlbackend.errors import ApiError, bad_request
from mlbackend.store.images import SHA256

VERSION = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")  # as JSON writes what lies beyond 16 bits: in two halves
MAX_POINTS = 64
MAX_CONCEPTS = 64
MAX_EXEMPLARS = 16
MAX_CONCEPT_CHARS = 200
MAX_MASK_THRESHOLD = 8.0


@dataclass(frozen=True)
class Point:
    """Original-image pixels; label 1 is on the object, 0 is not."""

    x: float
    y: float
    label: int


@dataclass(frozen=True)
class ExemplarBox:
    """A box around an example of the concept (positive) or of what it is not. Original pixels."""

    box_xyxy: tuple[float, float, float, float]
    positive: bool = True


@dataclass(frozen=True)
class ClickRequest:
    model_version: str
    image: str
    points: tuple[Point, ...]
    box_xyxy: tuple[float, float, float, float] | None = None
    earlier_mask_id: str | None = None
    desk: str | None = None
    sequence: int = 0
    preview: bool = False


@dataclass(frozen=True)
class MaskRequest:
    """Draw an answered mask again where its logits exceed threshold: above 0 it is tighter, below 0 looser."""

    image: str
    mask_id: str
    threshold: float


@dataclass(frozen=True)
class PredictRequest:
    model_version: str
    images: tuple[str, ...]
    concepts: tuple[str, ...]
    score_threshold: float = 0.3
    exemplars: tuple[tuple[ExemplarBox, ...], ...] = ()  # one tuple a concept, or none at all


@dataclass(frozen=True)
class WarmRequest:
    model_version: str
    images: tuple[str, ...]


def refuse_constant(name: str) -> float:
    raise ValueError(name)


def parse_json(body: bytes, *, constant: Callable[[str], float] = refuse_constant) -> dict[str, Any]:
    try:
        text = body.decode()
        value = json.loads(text, parse_constant=constant)
        if HALF_CHARACTER.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # a half without its other half is no text
    except (ValueError, RecursionError):
        raise bad_request("The body is not valid JSON (NaN and Infinity are not either).") from None
    if not isinstance(value, dict):
        raise bad_request("The body must be a JSON object.")
    return value


def parse_click(body: dict[str, Any]) -> ClickRequest:
    points = tuple(_point(item, f"points[{i}]") for i, item in enumerate(_list(body, "points", MAX_POINTS, least=0)))
    box = None if body.get("box") is None else _box(body["box"], "box")
    earlier = _optional_text(body, "earlier_mask_id")
    if not points and box is None:
        raise bad_request("points: give at least one point, or a box.", "points")
    return ClickRequest(
        model_version=_version(body),
        image=_sha256(body.get("image"), "image"),
        points=points,
        box_xyxy=box,
        earlier_mask_id=earlier,
        desk=_optional_text(body, "desk"),
        sequence=_sequence(body),
        preview=_boolean(body, "preview"),
    )


def parse_mask(body: dict[str, Any]) -> MaskRequest:
    mask_id = _optional_text(body, "mask_id")
    if mask_id is None:
        raise bad_request("mask_id must be the mask_id of a click's answer.", "mask_id")
    threshold = _number(body.get("threshold"), "threshold")
    if abs(threshold) > MAX_MASK_THRESHOLD:
        raise bad_request(
            f"threshold must lie between -{MAX_MASK_THRESHOLD:g} and {MAX_MASK_THRESHOLD:g}.", "threshold"
        )
    return MaskRequest(_sha256(body.get("image"), "image"), mask_id, threshold)


def parse_predict(body: dict[str, Any], *, default_concepts: tuple[str, ...] = ()) -> PredictRequest:
    concepts = default_concepts
    if not (default_concepts and body.get("concepts") is None):
        listed = _list(body, "concepts", MAX_CONCEPTS)
        concepts = tuple(_concept(item, f"concepts[{i}]") for i, item in enumerate(listed))
    threshold = _number(body.get("score_threshold", 0.3), "score_threshold")
    if not 0 <= threshold <= 1:
        raise bad_request("score_threshold must lie between 0 and 1.", "score_threshold")
    return PredictRequest(
        model_version=_version(body),
        images=_images(body, 16),
        concepts=concepts,
        score_threshold=threshold,
        exemplars=_exemplars(body, len(concepts)),
    )


def parse_warm(body: dict[str, Any]) -> WarmRequest:
    return WarmRequest(model_version=_version(body), images=_images(body, 64))


def check_inside(request: ClickRequest, *, width_px: int, height_px: int) -> None:
    """Refuse prompts outside the image: they would be answered with a mask of something else."""
    for i, point in enumerate(request.points):
        if not (0 <= point.x <= width_px and 0 <= point.y <= height_px):
            raise _outside(f"points[{i}]", f"({point.x:g}, {point.y:g})", width_px, height_px)
    if request.box_xyxy is not None:
        check_box_inside(request.box_xyxy, "box", width_px=width_px, height_px=height_px)


def check_box_inside(box_xyxy: tuple[float, ...], field: str, *, width_px: int, height_px: int) -> None:
    x0, y0, x1, y1 = box_xyxy
    if min(x0, y0) < 0 or x1 > width_px or y1 > height_px:
        raise _outside(field, f"{list(box_xyxy)}", width_px, height_px)


def _outside(field: str, what: str, width_px: int, height_px: int) -> ApiError:
    message = f"{field} {what} lies outside the image of {width_px} x {height_px} px."
    return ApiError(422, "outside_image", message, fields={field: message})


def _version(body: dict[str, Any]) -> str:
    value = body.get("model_version")
    if not isinstance(value, str) or not VERSION.fullmatch(value):
        raise bad_request('model_version must name a version, such as "demo".', "model_version")
    return value


def _images(body: dict[str, Any], most: int) -> tuple[str, ...]:
    return tuple(_sha256(item, f"images[{i}]") for i, item in enumerate(_list(body, "images", most)))


def _sha256(value: Any, field: str) -> str:
    if not isinstance(value, str) or not SHA256.fullmatch(value):
        raise bad_request(f"{field} must be the SHA-256 of an image in lower-case hex.", field)
    return value


def _list(body: dict[str, Any], field: str, most: int, least: int = 1) -> list[Any]:
    value = body.get(field)
    if value is None and not least:
        return []
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise bad_request(f"{field} must be a list of {least} to {most} items.", field)
    return value


def _concept(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_CONCEPT_CHARS:
        raise bad_request(f"{field} must be a phrase of 1 to {MAX_CONCEPT_CHARS} characters.", field)
    return value.strip()


def _exemplars(body: dict[str, Any], concepts: int) -> tuple[tuple[ExemplarBox, ...], ...]:
    """`exemplar_boxes`: for each concept a list of boxes, each [x0, y0, x1, y1] or {"box": [...], "label": 1 or 0}."""
    if body.get("exemplar_boxes") is None:
        return ()
    listed = _list(body, "exemplar_boxes", MAX_CONCEPTS)
    if len(listed) != concepts:
        raise bad_request(f"exemplar_boxes must hold one list for each of the {concepts} concepts.", "exemplar_boxes")
    return tuple(_exemplar_row(row, f"exemplar_boxes[{i}]") for i, row in enumerate(listed))


def _exemplar_row(row: Any, field: str) -> tuple[ExemplarBox, ...]:
    if not isinstance(row, list) or len(row) > MAX_EXEMPLARS:
        raise bad_request(f"{field} must be a list of at most {MAX_EXEMPLARS} boxes.", field)
    boxes = []
    for i, item in enumerate(row):
        name = f"{field}[{i}]"
        labelled = isinstance(item, dict)
        label = item.get("label", 1) if labelled else 1
        if type(label) is not int or label not in (0, 1):
            raise bad_request(f"{name}.label must be 1 or 0.", name)
        boxes.append(ExemplarBox(_box(item.get("box") if labelled else item, name), bool(label)))
    return tuple(boxes)


def _point(item: Any, field: str) -> Point:
    if not isinstance(item, dict):
        raise bad_request(f"{field} must be an object with x, y and label.", field)
    label = item.get("label")
    if type(label) is not int or label not in (0, 1):
        raise bad_request(f"{field}.label must be 1 (on the object) or 0 (not on it).", f"{field}.label")
    return Point(_number(item.get("x"), f"{field}.x"), _number(item.get("y"), f"{field}.y"), label)


def _box(value: Any, field: str) -> tuple[float, float, float, float]:
    if not isinstance(value, list) or len(value) != 4:
        raise bad_request(f"{field} must be [x0, y0, x1, y1].", field)
    x0, y0, x1, y1 = (_number(number, field) for number in value)
    if x0 >= x1 or y0 >= y1:
        raise bad_request(f"{field} must have x0 < x1 and y0 < y1.", field)
    return x0, y0, x1, y1


def _number(value: Any, field: str) -> float:
    if type(value) not in (int, float) or abs(value) > 1e9 or not math.isfinite(value):
        raise bad_request(f"{field} must be a finite number.", field)
    return float(value)


def _sequence(body: dict[str, Any]) -> int:
    value = body.get("sequence", 0)
    if type(value) is not int or not 0 <= value < 2**53:
        raise bad_request("sequence must be a whole number of 0 or more.", "sequence")
    return value


def _optional_text(body: dict[str, Any], field: str) -> str | None:
    value = body.get(field)
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= 200):
        raise bad_request(f"{field} must be a string of 1 to 200 characters, or null.", field)
    return value


def _boolean(body: dict[str, Any], field: str) -> bool:
    value = body.get(field, False)
    if not isinstance(value, bool):
        raise bad_request(f"{field} must be true or false.", field)
    return value
