"""SA-Co documents of rectangles, small enough to score by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from training import masks

HEIGHT_PX, WIDTH_PX = 20, 30


def rectangle(x: int, y: int, width: int, height: int, size: tuple[int, int] = (HEIGHT_PX, WIDTH_PX)) -> dict[str, Any]:
    mask = np.zeros(size, dtype=bool)
    mask[y : y + height, x : x + width] = True
    return masks.encode_mask(mask)


def image(pair: int, **changes: Any) -> dict[str, Any]:
    row = {"id": pair, "file_name": f"{pair}.jpg", "text_input": "thing", "width": WIDTH_PX, "height": HEIGHT_PX}
    return {**row, "queried_category": "1", "is_instance_exhaustive": 1, "is_pixel_exhaustive": 1, **changes}


def truth(pair: int, box: tuple[int, int, int, int], **changes: Any) -> dict[str, Any]:
    x, y, width, height = box
    norm = [x / WIDTH_PX, y / HEIGHT_PX, width / WIDTH_PX, height / HEIGHT_PX]
    row = {"id": 0, "image_id": pair, "category_id": 1, "iscrowd": 0, "bbox": norm, "area": norm[2] * norm[3]}
    return {**row, "segmentation": rectangle(*box), **changes}


def document(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    numbered = [{**annotation, "id": index + 1} for index, annotation in enumerate(annotations)]
    return {"images": images, "annotations": numbered, "categories": [{"id": 1, "name": "object"}]}


def found(pair: int, box: tuple[int, int, int, int], score: float = 0.9, **changes: Any) -> dict[str, Any]:
    row = {"image_id": pair, "category_id": 1, "score": score, "segmentation": rectangle(*box), "bbox": list(box)}
    return {**row, **changes}
