"""LabelMe's JSON, one file an image. Masks are written as its shape `mask`: the box's corners and the crop as PNG.

Verified negatives become image flags, `"no duck": true`. Source: labelme's label_file.py and shape.py, read for facts.
"""

import base64
import binascii
import io
from typing import Any

import numpy as np
from PIL import Image

from annotator.common.errors import ImportRefusedError, MaskError
from annotator.common.masks import Rle, decode_rle, encode_mask, polygons_to_rle, rle_area, rle_box_xyxy

from .records import ImageRecord, Instance, Problem, safe_name

VERSION = "5.4.1"
NO = "no "
MAX_CROP_BYTES = 50 * 1024 * 1024


def write(image: ImageRecord, *, name: str) -> dict:
    """The document beside the image file `name`."""
    return {
        "version": VERSION,
        "flags": {f"{NO}{category}": True for category in image.absent},
        "shapes": [_shape(one) for one in image.instances if rle_area(one.mask)],
        "imagePath": name,
        "imageData": None,
        "imageHeight": image.height_px,
        "imageWidth": image.width_px,
    }


def read(document: Any) -> tuple[ImageRecord, list[Problem]]:
    """Polygons, rectangles and masks; of imagePath only the last part counts, and imageData is not looked at."""
    keys = {"imagePath": str, "imageHeight": int, "imageWidth": int, "shapes": list}
    if not isinstance(document, dict) or any(type(document.get(key)) is not kind for key, kind in keys.items()):
        raise ImportRefusedError(f"This is no LabelMe file: it needs {', '.join(keys)}.")
    name = safe_name(document["imagePath"])
    image, problems = ImageRecord(name, document["imageWidth"], document["imageHeight"], name=name), []
    for number, shape in enumerate(document["shapes"], start=1):
        label = shape.get("label") if isinstance(shape, dict) else None
        try:
            if not isinstance(label, str) or not label:
                raise MaskError("The shape has no label.")
            image.instances.append(Instance(label, _mask(shape, image)))
        except MaskError as error:
            image.unsure.add(str(label))
            problems.append(Problem(f"{name}, shape {number}", str(error)))
    flags = document.get("flags")
    flags = flags if isinstance(flags, dict) else {}
    image.absent = [key.removeprefix(NO) for key, value in flags.items() if value is True and key.startswith(NO)]
    return image, problems


def _shape(instance: Instance) -> dict:
    x0, y0, x1, y1 = rle_box_xyxy(instance.mask)
    buffer = io.BytesIO()
    Image.fromarray(decode_rle(instance.mask)[y0:y1, x0:x1]).save(buffer, format="PNG")
    return {
        "label": instance.category,
        # LabelMe's second corner is the last pixel inside.
        "points": [[x0, y0], [x1 - 1, y1 - 1]],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(buffer.getvalue()).decode("ascii"),
    }


def _mask(shape: dict, image: ImageRecord) -> Rle:
    points, kind = _points(shape), shape.get("shape_type", "polygon")
    size = {"height_px": image.height_px, "width_px": image.width_px}
    if kind == "polygon":
        mask = polygons_to_rle([[value for point in points for value in point]], **size)
    elif kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        mask = polygons_to_rle([[x0, y0, x1, y0, x1, y1, x0, y1]], **size)
    elif kind == "mask" and len(points) == 2:
        mask = _pasted(shape.get("mask"), points, image)
    else:
        raise MaskError(f"Its shape {str(kind)[:20]!r} is no mask; polygons, rectangles and masks are read.")
    if rle_area(mask) == 0:
        raise MaskError("It covers no pixel.")
    return mask


def _points(shape: dict) -> list[list[float]]:
    points = shape.get("points")
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise MaskError("Its points must be a list of [x, y].")
    return points


def _pasted(encoded: Any, points: list[list[float]], image: ImageRecord) -> Rle:
    """The crop put into its box; its size must be the box's, and the box inside the image."""
    corners = [value for point in points for value in point]
    if not all(type(value) in (int, float) and value == int(value) for value in corners if abs(value) < 1e9):
        raise MaskError("The box of a mask must be whole pixels.")
    x0, y0, x1, y1 = (int(max(min(value, 1e9), -1e9)) for value in corners)
    if not (0 <= x0 <= x1 < image.width_px and 0 <= y0 <= y1 < image.height_px):
        raise MaskError("The box of the mask reaches beyond the image.")
    crop = _decoded(encoded, (x1 - x0 + 1, y1 - y0 + 1))
    mask = np.zeros((image.height_px, image.width_px), dtype=bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = crop
    return encode_mask(mask)


def _decoded(encoded: Any, size: tuple[int, int]) -> np.ndarray:
    if not isinstance(encoded, str) or len(encoded) > MAX_CROP_BYTES:
        raise MaskError("It has no picture of the mask, or one too large.")
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True)), formats=["PNG"]) as crop:
            if crop.size != size:  # before a pixel is decoded: the box bounds the memory
                raise MaskError(f"The mask's picture has {crop.size} px, its box {size}.")
            return np.asarray(crop.convert("L")) > 0
    except (binascii.Error, ValueError, OSError, SyntaxError) as error:
        raise MaskError(f"The mask's picture can't be read: {error}.") from error
