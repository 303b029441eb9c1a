"""Masks to Label Studio's regions."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np

from mlbackend.errors import ApiError
from mlbackend.label_studio.brush_rle import encode_brush
from mlbackend.label_studio.label_config import Control

OUTLINE_TOLERANCE_PX = 1.0


def mask_regions(mask_HW: np.ndarray, control: Control, label: str | None, score: float) -> list[dict[str, Any]]:
    """Regions of one instance: one brush region, or a polygon for each of its parts; none for an empty mask."""
    if not mask_HW.any():
        return []
    height, width = mask_HW.shape
    common = {
        "from_name": control.name,
        "to_name": control.to_name,
        "type": control.kind,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": round(score, 5),
        "readonly": False,
    }
    labels = {control.kind: [label]} if label in control.labels else {}
    if control.kind == "brushlabels":
        values: list[dict[str, Any]] = [{"format": "rle", "rle": encode_brush(mask_HW)}]
    else:
        values = [{"points": points, "closed": True} for points in outlines_pct(mask_HW)]
    # Label Studio's editor replaces a region that has the id of a new one, so ids must not collide.
    return [{"id": secrets.token_hex(8), **common, "value": value | labels} for value in values]


def outlines_pct(mask_HW: np.ndarray) -> list[list[list[float]]]:
    """Outer outlines in percent of the image; holes are lost, which is why a brush is the better control."""
    try:
        import cv2
    except ImportError:
        raise ApiError(
            501,
            "failed",
            "Polygons need OpenCV, which is not installed: use BrushLabels in the labelling "
            "config, or install opencv-python-headless.",
        ) from None
    height, width = mask_HW.shape
    contours, _ = cv2.findContours(mask_HW.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    simple = (cv2.approxPolyDP(contour, OUTLINE_TOLERANCE_PX, True)[:, 0] for contour in contours)
    return [
        [[100 * (float(x) + 0.5) / width, 100 * (float(y) + 0.5) / height] for x, y in points]
        for points in simple
        if len(points) > 2
    ]
