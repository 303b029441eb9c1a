"""LabelMe's shapes -> objects: polygons, rectangles, circles and masks; those of one label and group are one object.

A rectangle is a box around an object, not its outline, so its mask is coarse. X-AnyLabeling writes four corners for it.
"""

import base64
import binascii
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from annotator.common.errors import MaskError
from annotator.common.masks import Rle, encode_crop

from .documents import Size
from .records import ImageRecord, Instance
from .shapes import NO_LABEL, box_mask, covering, ellipse_mask, finite, polygon_mask, united
from .values import key_of

MAX_CROP_BYTES = 50 * 1024 * 1024
BOXES = ("rectangle", "rotation")
NO_AREA = ("point", "points", "line", "linestrip", "polyline", "line_strip")

Shapes = list[tuple[int, Any]]


def objects_of(shapes: Sequence[Any]) -> list[tuple[str, Shapes]]:
    """(label, its numbered shapes) of every object. Shapes without a group stand alone."""
    found: dict[Any, tuple[str, Shapes]] = {}
    for number, shape in enumerate(shapes, start=1):
        label = shape.get("label") if isinstance(shape, dict) else None
        label = label if isinstance(label, str) and label else NO_LABEL
        group = key_of(shape.get("group_id")) if isinstance(shape, dict) else None
        key = (label, group) if group is not None and label != NO_LABEL else number
        found.setdefault(key, (label, []))[1].append((number, shape))
    return list(found.values())


def objects_read(objects: list[tuple[str, Shapes]], image: ImageRecord) -> list[tuple[int, str]]:
    """Adds them to the image; (shape's number, why) of those that can't be read, which leave their label unsure."""
    problems = []
    for label, shapes in objects:
        parts: list[tuple[Rle, bool]] = []
        for number, shape in shapes:
            try:
                parts.append(_part(shape, label, (image.width_px, image.height_px)))
            except MaskError as error:
                image.unsure.add(label)
                problems.append((number, str(error)))
        if parts:
            mask = united([mask for mask, _ in parts])
            image.instances.append(Instance(label, mask, coarse=any(is_box for _, is_box in parts)))
    return problems


def points_of(shape: Any) -> list[list[float]]:
    """The points that tell how far a shape reaches; none where they are no points."""
    try:
        return _points(shape) if shape.get("shape_type") != "circle" else []
    except (MaskError, AttributeError):
        return []


def _part(shape: Any, label: str, size_px: Size) -> tuple[Rle, bool]:
    """(mask, is it only a box)."""
    if label == NO_LABEL:
        raise MaskError("The shape has no label.")
    points, kind = _points(shape), str(shape.get("shape_type") or "polygon")
    if kind in NO_AREA:
        raise MaskError(f"Its shape {kind!r} is no area.")
    if kind == "polygon":
        return polygon_mask(points, size_px), False
    if kind in BOXES and len(points) in (2, 4):
        corners = points if len(points) == 4 else None
        return (polygon_mask(corners, size_px) if corners else box_mask([*points[0], *points[1]], size_px)), True
    if kind == "circle" and len(points) == 2:
        return _circle(points, size_px), False
    if kind == "mask" and len(points) == 2:
        return _pasted(shape.get("mask"), points, size_px), False
    raise MaskError(
        f"Its shape {kind[:20]!r} of {len(points)} points can't be read; polygons, rectangles, circles and masks are."
    )


def _points(shape: Any) -> list[list[float]]:
    points = shape.get("points")
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise MaskError("Its points must be a list of [x, y].")
    finite([value for point in points for value in point])
    return points


def _circle(points: list[list[float]], size_px: Size) -> Rle:
    """Its centre and a point of its rim."""
    (cx, cy), (x, y) = points
    radius = math.hypot(x - cx, y - cy)
    return ellipse_mask((cx, cy), (radius, radius), size_px)


def _pasted(encoded: Any, points: list[list[float]], size_px: Size) -> Rle:
    """The crop at its box's first corner, rounded to whole pixels as LabelMe does; what lies outside is cut off."""
    if any(abs(value) > 1e9 for point in points for value in point):
        raise MaskError("The box of the mask lies far outside the image.")
    (x0, y0), (x1, y1) = ([math.floor(value + 0.5) for value in point] for point in points)
    crop = _decoded(encoded, (x1 - x0 + 1, y1 - y0 + 1), size_px)
    return covering(encode_crop(crop, x0=x0, y0=y0, height_px=size_px[1], width_px=size_px[0]))


def _decoded(encoded: Any, box_px: Size, size_px: Size) -> np.ndarray:
    """Rounding both corners may make the box one pixel other than the crop, whose size counts."""
    if not isinstance(encoded, str) or len(encoded) > MAX_CROP_BYTES:
        raise MaskError("It has no picture of the mask, or one too large.")
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True)), formats=["PNG"]) as crop:
            # Before a pixel is decoded: the picture's size bounds the memory.
            if any(abs(a - b) > 1 or a > side for a, b, side in zip(crop.size, box_px, size_px, strict=True)):
                raise MaskError(f"The mask's picture has {crop.size} px, its box {box_px}, the image {size_px}.")
            return np.asarray(crop.convert("L")) > 0
    except (binascii.Error, ValueError, OSError, SyntaxError) as error:
        raise MaskError(f"The mask's picture can't be read: {error}.") from error
