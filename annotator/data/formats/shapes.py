"""Shapes that tools draw -> masks: boxes, ellipses, turned or not, parts that are one object; and which way is up."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco

from annotator.common.errors import MaskError
from annotator.common.masks import Rle, encode_mask, polygons_to_rle, rle_area

from .documents import Size

NO_LABEL = "(no label)"  # stands for any class among those that are unsure
MAX_NUMBER = 1e30
NOT_ON_THE_PICTURE = "It covers no pixel of the picture."


def polygon_mask(points: Sequence[Sequence[float]], size_px: Size) -> Rle:
    """[[x, y], …] in pixels, filled."""
    flat = [float(value) for point in points for value in point]
    return covering(polygons_to_rle([flat], height_px=size_px[1], width_px=size_px[0]))


def box_mask(box_xyxy: Sequence[float], size_px: Size, *, turned_deg: float = 0.0, about: str = "centre") -> Rle:
    """A filled box, turned clockwise about its centre or its first corner."""
    x0, y0, x1, y1 = finite(box_xyxy)
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    pivot = ((x0 + x1) / 2, (y0 + y1) / 2) if about == "centre" else (x0, y0)
    return polygon_mask(turned(corners, pivot, turned_deg), size_px)


def ellipse_mask(centre: Sequence[float], radii: Sequence[float], size_px: Size, *, turned_deg: float = 0.0) -> Rle:
    """The pixels whose centres lie in the ellipse; turned clockwise about its centre."""
    cx, cy, rx, ry = finite([*centre, *radii])
    if rx <= 0 or ry <= 0:
        raise MaskError("Its radius must be more than 0.")
    (width, height), reach = size_px, max(rx, ry)
    x0, x1 = _clipped(cx - reach, width), _clipped(cx + reach + 1, width)
    y0, y1 = _clipped(cy - reach, height), _clipped(cy + reach + 1, height)
    angle = math.radians(turned_deg)
    x, y = np.arange(x0, x1) + 0.5 - cx, (np.arange(y0, y1) + 0.5 - cy)[:, None]
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    mask = np.zeros((height, width), dtype=bool)
    mask[y0:y1, x0:x1] = (along / rx) ** 2 + (across / ry) ** 2 <= 1
    return covering(encode_mask(mask))


def turned(
    points: Iterable[tuple[float, float]], pivot: tuple[float, float], degrees: float
) -> list[tuple[float, float]]:
    """Clockwise as seen on a screen, whose y runs down."""
    [degrees] = finite([degrees])
    if not degrees:
        return list(points)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (pivot[0] + (x - pivot[0]) * cos - (y - pivot[1]) * sin, pivot[1] + (x - pivot[0]) * sin + (y - pivot[1]) * cos)
        for x, y in points
    ]


def united(masks: Sequence[Rle]) -> Rle:
    """One mask of all parts."""
    if len(masks) == 1:
        return masks[0]
    merged = coco.merge([{"size": mask["size"], "counts": mask["counts"].encode("ascii")} for mask in masks])
    return {"size": list(masks[0]["size"]), "counts": merged["counts"].decode("ascii")}


def covering(mask: Rle) -> Rle:
    """The mask itself; MaskError where it is empty."""
    if rle_area(mask) == 0:
        raise MaskError(NOT_ON_THE_PICTURE)
    return mask


def finite(values: Iterable[Any]) -> list[float]:
    """MaskError for what is no number, or none that a coordinate can be: JSON may hold whole numbers of any length."""
    found = list(values)
    numbers = [value for value in found if type(value) in (int, float) and abs(value) < MAX_NUMBER]
    if len(numbers) != len(found):
        raise MaskError("Its coordinates must be finite numbers.")
    return [float(value) for value in numbers]


def unfit(said: Size | None, found: Size, points: Iterable[Sequence[float]]) -> str:
    """Why outlines drawn on a picture of the size `said` can't be laid on this one; else empty.

    Swapped sides: the picture is turned by EXIF, and the size is the sensor's. Its outlines may be upright all the
    same, which is certain only where one of them would not fit otherwise.
    """
    if said is None or said == found:
        return ""
    if said != found[::-1]:
        return (
            f"The document says {said[0]} x {said[1]} px, the image has {found[0]} x {found[1]}. "
            "Its masks were left out."
        )
    reach = [max((point[axis] for point in points), default=0.0) for points in [list(points)] for axis in (0, 1)]
    if _within(reach, found) and not _within(reach, said):
        return ""
    return (
        f"The document says {said[0]} x {said[1]} px, the picture is {found[0]} x {found[1]} px: its EXIF orientation "
        "turns it. Which way up the masks were drawn can't be told, so they were left out; export with upright sizes."
    )


def _within(reach: Sequence[float], size_px: Size) -> bool:
    return reach[0] <= size_px[0] and reach[1] <= size_px[1]


def _clipped(value: float, side: int) -> int:
    return int(min(max(math.floor(value), 0), side))
