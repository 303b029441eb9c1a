"""Requests of the native API, from JSON to the engine's records. Every refusal names the field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from mlbackend.errors import ApiError, bad_request
from mlbackend.model.prompts import ExemplarBox, Point
from mlbackend.serving.requests import (
    MAX_BOXES,
    MAX_CONCEPTS,
    MAX_POINTS,
    VERSION,
    BoxedImage,
    BoxesRequest,
    ClickRequest,
    MaskRequest,
    PredictRequest,
    WarmRequest,
)
from mlbackend.store.images import SHA256

HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")  # as JSON writes what lies beyond 16 bits: in two halves
MAX_EXEMPLARS = 16
MAX_CONCEPT_CHARS = 200
MAX_MASK_THRESHOLD = 8.0
OUR_WORDS = "roost"


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


def _wrong(rule: str) -> PydanticCustomError:
    return PydanticCustomError(OUR_WORDS, "{rule}", {"rule": rule})


def _phrase(value: str) -> str:
    if not value.strip():
        raise _wrong(f"be a phrase of 1 to {MAX_CONCEPT_CHARS} characters")
    return value.strip()


def _four(value: Any) -> Any:
    if not isinstance(value, list) or len(value) != 4:
        raise _wrong("be [x0, y0, x1, y1]")
    return value


def _with_area(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    if x0 >= x1 or y0 >= y1:
        raise _wrong("have x0 < x1 and y0 < y1")
    return box


def _labelled(item: Any) -> Any:
    return {"box": None} | item if isinstance(item, dict) else {"box": item}


Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e9, le=1e9)]
Bit = Annotated[int, Field(strict=True, ge=0, le=1)]
Version = Annotated[str, Field(pattern=f"^(?:{VERSION.pattern})$")]
Sha256 = Annotated[str, Field(pattern=f"^(?:{SHA256.pattern})$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Concept = Annotated[str, Field(max_length=MAX_CONCEPT_CHARS), AfterValidator(_phrase)]
Box = Annotated[tuple[Number, Number, Number, Number], BeforeValidator(_four), AfterValidator(_with_area)]


class PointBody(TypedDict):  # a click's time: half that of a model with attributes
    label: Bit
    x: Number
    y: Number


class ClickBody(BaseModel):
    points: Annotated[list[PointBody], Field(strict=True, max_length=MAX_POINTS)] | None = None
    box: Box | None = None
    earlier_mask_id: Text | None = None
    model_version: Version
    image: Sha256
    desk: Text | None = None
    sequence: Annotated[int, Field(strict=True, ge=0, lt=2**53)] = 0
    preview: Annotated[bool, Field(strict=True)] = False


class MaskBody(BaseModel):
    mask_id: Text
    threshold: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-MAX_MASK_THRESHOLD, le=MAX_MASK_THRESHOLD)]
    image: Sha256


class ExemplarBody(BaseModel):
    """[x0, y0, x1, y1] or {"box": [...], "label": 1 or 0}."""

    label: Bit = 1
    box: Box


Exemplars = Annotated[
    list[Annotated[ExemplarBody, BeforeValidator(_labelled)]], Field(strict=True, max_length=MAX_EXEMPLARS)
]


class PredictBody(BaseModel):
    concepts: Annotated[list[Concept], Field(strict=True, min_length=1, max_length=MAX_CONCEPTS)]
    score_threshold: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)] = 0.3
    model_version: Version
    images: Annotated[list[Sha256], Field(strict=True, min_length=1, max_length=16)]
    exemplar_boxes: Annotated[list[Exemplars], Field(strict=True, min_length=1, max_length=MAX_CONCEPTS)] | None = None


class BoxedBody(BaseModel):
    image: Sha256
    boxes: Annotated[list[Box], Field(strict=True, min_length=1, max_length=MAX_BOXES)]


class BoxesBody(BaseModel):
    model_version: Version
    boxed: Annotated[list[BoxedBody], Field(strict=True, min_length=1, max_length=16)]


class WarmBody(BaseModel):
    model_version: Version
    images: Annotated[list[Sha256], Field(strict=True, min_length=1, max_length=64)]


# What a field must; a number that is too large for another field's bounds is told them.
FINITE, VERSIONED = "be a finite number", 'name a version, such as "demo"'
HASHED, TEXT = "be the SHA-256 of an image in lower-case hex", "be a string of 1 to 200 characters, or null"
RULES = {
    "points": f"be a list of 0 to {MAX_POINTS} items",
    "points[]": "be an object with x, y and label",
    "points[].label": "be 1 (on the object) or 0 (not on it)",
    "points[].x": FINITE,
    "points[].y": FINITE,
    "box": FINITE,
    "earlier_mask_id": TEXT,
    "mask_id": "be the mask_id of a click's answer",
    "threshold": FINITE,
    "desk": TEXT,
    "sequence": "be a whole number of 0 or more",
    "preview": "be true or false",
    "model_version": VERSIONED,
    "image": HASHED,
    "images[]": HASHED,
    "boxed": "be a list of 1 to 16 items",
    "boxed[]": "be an object with image and boxes",
    "boxed[].image": HASHED,
    "boxed[].boxes": f"be a list of 1 to {MAX_BOXES} boxes",
    "boxed[].boxes[]": FINITE,
    "concepts": f"be a list of 1 to {MAX_CONCEPTS} items",
    "concepts[]": f"be a phrase of 1 to {MAX_CONCEPT_CHARS} characters",
    "score_threshold": FINITE,
    "exemplar_boxes": f"be a list of 1 to {MAX_CONCEPTS} items",
    "exemplar_boxes[]": f"be a list of at most {MAX_EXEMPLARS} boxes",
    "exemplar_boxes[][]": FINITE,
    "exemplar_boxes[][].label": "be 1 or 0",
}
BOUNDS = {
    "threshold": f"lie between -{MAX_MASK_THRESHOLD:g} and {MAX_MASK_THRESHOLD:g}",
    "score_threshold": "lie between 0 and 1",
}
BodyT = TypeVar("BodyT", bound=BaseModel)


def parse_click(body: dict[str, Any]) -> ClickRequest:
    sent = _checked(ClickBody, body)
    if not sent.points and sent.box is None:
        raise bad_request("points: give at least one point, or a box.", "points")
    points = tuple([Point(point["x"], point["y"], point["label"]) for point in sent.points or ()])
    prompts = (points, sent.box, sent.earlier_mask_id)
    return ClickRequest(sent.model_version, sent.image, *prompts, sent.desk, sent.sequence, sent.preview)


def parse_mask(body: dict[str, Any]) -> MaskRequest:
    sent = _checked(MaskBody, body)
    return MaskRequest(sent.image, sent.mask_id, sent.threshold)


def parse_predict(body: dict[str, Any], *, default_concepts: tuple[str, ...] = ()) -> PredictRequest:
    if default_concepts and body.get("concepts") is None:
        body = body | {"concepts": list(default_concepts)}
    sent = _checked(PredictBody, body)
    rows = sent.exemplar_boxes
    if rows is not None and len(rows) != len(sent.concepts):
        message = f"exemplar_boxes must hold one list for each of the {len(sent.concepts)} concepts."
        raise bad_request(message, "exemplar_boxes")
    return PredictRequest(
        model_version=sent.model_version,
        images=tuple(sent.images),
        concepts=tuple(sent.concepts),
        score_threshold=sent.score_threshold,
        exemplars=tuple(tuple(ExemplarBox(one.box, bool(one.label)) for one in row) for row in rows or ()),
    )


def parse_boxes(body: dict[str, Any]) -> BoxesRequest:
    sent = _checked(BoxesBody, body)
    boxed = tuple(BoxedImage(one.image, tuple(one.boxes)) for one in sent.boxed)
    return BoxesRequest(sent.model_version, boxed)


def parse_warm(body: dict[str, Any]) -> WarmRequest:
    sent = _checked(WarmBody, body)
    return WarmRequest(sent.model_version, tuple(sent.images))


def _checked(kind: type[BodyT], body: dict[str, Any]) -> BodyT:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False)[0], kind) from None


def _refusal(error: ErrorDetails, kind: type[BaseModel]) -> ApiError:
    """Our sentence for the first thing that is wrong. A box is named whole, whichever of its numbers it is."""
    loc = error["loc"]
    if "box" in loc:
        loc = loc[: loc.index("box") or 1]
    if "boxes" in loc:
        loc = loc[: loc.index("boxes") + 2]
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)[1:]
    return bad_request(f"{name} must {_rule(name, error, kind)}.", re.sub(r"^(exemplar.*)\.label$", r"\1", name))


def _rule(name: str, error: ErrorDetails, kind: type[BaseModel]) -> str:
    if error["type"] == OUR_WORDS:
        return error["msg"]
    if name == "mask_id" and error["input"] is not None and error["type"] != "missing":
        return TEXT
    if name == "images":
        return f"be a list of 1 to {16 if kind is PredictBody else 64} items"
    if error["type"] in ("greater_than_equal", "less_than_equal") and name in BOUNDS:
        return BOUNDS[name]
    return RULES[re.sub(r"\d+", "", name)]
