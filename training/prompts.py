"""What people showed the model to have an object drawn, as snapshots carry it: points and boxes, in order.

All of it is in original-image pixels; x and y are continuous, so that a pixel's middle is at half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mlbackend.model.prompts import Point


@dataclass(frozen=True)
class Box:
    """x0, y0, x1, y1 around the object."""

    xyxy: tuple[float, float, float, float]


Given = Point | Box


class PromptError(ValueError):
    """Prompts that cannot be asked; the message says what is wrong with them."""


def read_prompts(rows: Any, *, width_px: int, height_px: int) -> tuple[Given, ...]:
    """[{x, y, label} | {box: [x0, y0, x1, y1]}, ...] as the desk keeps them."""
    if not isinstance(rows, list):
        raise PromptError("they must be a list of points and boxes")
    return tuple(_given(row, width_px, height_px) for row in rows)


def _given(row: Any, width_px: int, height_px: int) -> Given:
    if not isinstance(row, dict):
        raise PromptError(f"{row!r} is neither a point nor a box")
    if "box" in row:
        return Box(_box(row["box"], width_px, height_px))
    values: list[Any] = [row.get(key) for key in ("x", "y", "label")]
    x, y, label = values
    if not _is_number(x) or not _is_number(y) or label not in (0, 1):
        raise PromptError(f"{row!r} is no point with x, y and a label of 0 or 1")
    return Point(float(x), float(y), int(label))


def _box(values: Any, width_px: int, height_px: int) -> tuple[float, float, float, float]:
    sides = (width_px, height_px, width_px, height_px)
    if not isinstance(values, list) or len(values) != 4 or not all(map(_is_within, values, sides)):
        raise PromptError(f"{values!r} is no box of the image")
    x0, y0, x1, y1 = map(float, values)
    if x0 >= x1 or y0 >= y1:
        raise PromptError(f"the box {values!r} holds nothing")
    return x0, y0, x1, y1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_within(value: Any, side_px: int) -> bool:
    return _is_number(value) and 0 <= value <= side_px
