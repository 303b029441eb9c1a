"""The interactive context: regions in percent of the image, to prompts in original pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlbackend.errors import ApiError, bad_request
from mlbackend.model.prompts import Point
from mlbackend.serving.requests import MAX_POINTS


@dataclass(frozen=True)
class ContextPrompts:
    points: tuple[Point, ...]
    box_xyxy: tuple[float, float, float, float] | None
    label: str | None


def read_context(context: Any, *, width_px: int, height_px: int) -> ContextPrompts:
    """Points and at most one box; several boxes are joined into one around them all. Negative boxes count as points.

    ApiError when nothing usable is there, or when the browser saw an image of another size than we read.
    """
    results = context.get("result") if isinstance(context, dict) else None
    if not isinstance(results, list) or not 1 <= len(results) <= MAX_POINTS:
        raise bad_request(f"context.result must hold 1 to {MAX_POINTS} regions.", "params.context.result")
    points: list[Point] = []
    boxes: list[tuple[float, float, float, float]] = []
    label: str | None = None
    for i, item in enumerate(results):
        kind, value = _region(item, f"params.context.result[{i}]", width_px, height_px)
        label = label or _label(value, kind)
        positive = item.get("is_positive", True) is not False
        x, y = _percent(value, "x", width_px), _percent(value, "y", height_px)
        if kind.startswith("keypoint"):
            points.append(Point(x, y, int(positive)))
        else:
            width, height = _percent(value, "width", width_px), _percent(value, "height", height_px)
            if positive:
                boxes.append((x, y, min(x + width, width_px), min(y + height, height_px)))
            else:
                points.append(Point(x + width / 2, y + height / 2, 0))
    return ContextPrompts(tuple(points), _around(boxes), label)


def _region(item: Any, field: str, width_px: int, height_px: int) -> tuple[str, dict[str, Any]]:
    value = item.get("value") if isinstance(item, dict) else None
    kind = item.get("type") if isinstance(item, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str):
        raise bad_request(f"{field} must be a region with type and value.", field)
    if kind not in ("keypointlabels", "keypoint", "rectanglelabels", "rectangle"):
        raise bad_request(f"{field}: '{kind}' is no prompt; draw keypoints or rectangles with a smart tool.", field)
    if value.get("rotation") not in (None, 0, 0.0) or item.get("image_rotation") not in (None, 0, 0.0):
        raise bad_request(f"{field}: rotated images and rectangles are not supported.", field)
    seen = (item.get("original_width", width_px), item.get("original_height", height_px))
    if seen != (width_px, height_px):
        message = f"The browser shows {seen[0]} x {seen[1]} px, but the image here has {width_px} x {height_px} px."
        raise ApiError(422, "bad_request", message, fields={field: message})
    return kind, value


def _percent(value: dict[str, Any], name: str, side_px: int) -> float:
    """Percent of a side to pixels. The editor lets a tool reach a little beyond the edge: clamp that."""
    percent = value.get(name)
    if not isinstance(percent, (int, float)) or isinstance(percent, bool) or not -5 <= percent <= 105:
        raise bad_request(f"value.{name} must be a percentage of the image.", f"value.{name}")
    return min(max(float(percent), 0.0), 100.0) * side_px / 100


def _label(value: dict[str, Any], kind: str) -> str | None:
    names = value.get(kind) or value.get("labels")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def _around(boxes: list[tuple[float, float, float, float]]) -> tuple[float, float, float, float] | None:
    if not boxes:
        return None
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    box = (min(x0), min(y0), max(x1), max(y1))
    if box[0] >= box[2] or box[1] >= box[3]:
        raise bad_request("The rectangle has no area.", "params.context.result")
    return box
