"""What the engine is asked, as checked records: whoever asks has them made from its own wire format."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlbackend.errors import ApiError
from mlbackend.model.prompts import ExemplarBox, Point

VERSION = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_POINTS = 64
MAX_CONCEPTS = 64
MAX_BOXES = 64


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
class BoxedImage:
    """One image and a box around each object that is wanted, in original pixels."""

    image: str
    boxes_xyxy: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class BoxesRequest:
    model_version: str
    boxed: tuple[BoxedImage, ...]


@dataclass(frozen=True)
class WarmRequest:
    model_version: str
    images: tuple[str, ...]


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
