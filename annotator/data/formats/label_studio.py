"""Label Studio tasks with brush masks. Its brush RLE is not COCO's: the SDK encodes it, imported only when needed.

Verified negatives are a second control, choices named `absent`. `label_config` is the labelling interface to match.
"""

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from annotator.common.errors import ImportRefusedError, MaskError
from annotator.common.masks import MAX_MASK_PIXELS, Rle, decode_rle, encode_mask, polygons_to_rle, rle_area

from .records import Category, ImageRecord, Instance, Problem

BRUSH, ABSENT, IMAGE = "brush", "absent", "image"
CHANNELS = 4
SHAPES = ("brush", "polygon", "rectangle", "ellipse", "bitmask")  # so named when they carry no label


def label_config(categories: Sequence[Category]) -> str:
    """The XML that a Label Studio project needs for these tasks."""
    labels = "".join(f"<Label value={quoteattr(category.name)}/>" for category in categories)
    choices = "".join(f"<Choice value={quoteattr(category.name)}/>" for category in categories)
    return (
        f'<View><Image name="{IMAGE}" value="$image" zoom="true"/>'
        f'<BrushLabels name="{BRUSH}" toName="{IMAGE}">{labels}</BrushLabels>'
        f'<Choices name="{ABSENT}" toName="{IMAGE}" choice="multiple">{choices}</Choices></View>'
    )


def write(image: ImageRecord, *, url: str) -> dict:
    """One task with one annotation; `url` is where Label Studio will find the image."""
    results = [_brush(number, one, image) for number, one in enumerate(image.instances, 1) if rle_area(one.mask)]
    if image.absent:
        value = {"choices": list(image.absent)}
        results.append({"id": "absent", "from_name": ABSENT, "to_name": IMAGE, "type": "choices", "value": value})
    return {"data": {"image": url, "name": image.name}, "annotations": [{"result": results}]}


def read(task: Any, *, size_px: tuple[int, int] | None = None) -> tuple[ImageRecord, list[Problem]]:
    """The newest annotation of an exported task: brushes, polygons, and the choices of `absent`.

    `size_px`: the image's width and height, where they are known; else Label Studio's word for them is taken.
    Keypoints are prompts and no objects; any other labelled shape is an object without a mask, hence a problem. What
    further controls say (texts, ratings, relations) is not about masks and is left out.
    """
    try:
        url, annotations = task["data"]["image"], task["annotations"]
        results = annotations[-1]["result"] if annotations else []
    except (TypeError, KeyError, IndexError):
        raise ImportRefusedError("This is no Label Studio task with data.image and annotations.") from None
    if not isinstance(url, str) or not isinstance(results, list):
        raise ImportRefusedError("This is no Label Studio task with data.image and annotations.")
    width, height = size_px or _size(results)
    name = url.rsplit("/", 1)[-1]
    image, problems = ImageRecord(name, width, height, name=str(task["data"].get("name") or name)), []
    for number, result in enumerate((one for one in results if isinstance(one, dict)), start=1):
        try:
            _read_result(result, image)
        except MaskError as error:
            image.unsure.update(_labels(result))
            problems.append(Problem(f"{name}, result {number}", str(error)))
    return image, problems


def _read_result(result: dict, image: ImageRecord) -> None:
    value, kind = result.get("value"), str(result.get("type"))
    if kind == "choices" and result.get("from_name") == ABSENT:
        image.absent += _strings(value, kind)
    if kind in SHAPES:
        raise MaskError("It has no label.")
    if not kind.endswith("labels") or kind == "keypointlabels":
        return
    if kind not in ("brushlabels", "polygonlabels"):
        raise MaskError(f"A result of the type {kind[:20]!r} is no mask.")
    if not isinstance(value, dict) or len(_labels(result)) != 1:
        raise MaskError("It must have one label.")
    if (result.get("original_width"), result.get("original_height")) != (image.width_px, image.height_px):
        raise MaskError("Its size is not the image's.")
    if result.get("image_rotation"):
        raise MaskError("It was drawn on a rotated view; turn the image back and draw it again.")
    mask = _unbrushed(value, image) if kind == "brushlabels" else _polygon(value, image)
    image.instances.append(Instance(_labels(result)[0], mask))


def _labels(result: dict) -> list[str]:
    """The names on a labelled shape; Label Studio keeps them under the name of its type."""
    return _strings(result.get("value"), str(result.get("type")))


def _strings(value: Any, key: str) -> list[str]:
    found = value.get(key) if isinstance(value, dict) else None
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _size(results: list) -> tuple[int, int]:
    """Label Studio writes the image's size beside each result; 0 x 0 where there is none."""
    for result in results:
        if isinstance(result, dict):
            width, height = result.get("original_width"), result.get("original_height")
            if type(width) is int and type(height) is int and 0 < width * height <= MAX_MASK_PIXELS:
                return width, height
    return 0, 0


def _brush(number: int, instance: Instance, image: ImageRecord) -> dict:
    from label_studio_sdk.converter.brush import mask2rle

    rle = mask2rle(decode_rle(instance.mask).astype(np.uint8) * 255)
    return {
        "id": f"m{number}",
        "from_name": BRUSH,
        "to_name": IMAGE,
        "type": "brushlabels",
        "original_width": image.width_px,
        "original_height": image.height_px,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": rle, "brushlabels": [instance.category]},
    }


def _unbrushed(value: dict, image: ImageRecord) -> Rle:
    from label_studio_sdk.converter.brush import decode_rle as decode_brush

    rle, wanted = value.get("rle"), image.width_px * image.height_px * CHANNELS
    if not isinstance(rle, list) or len(rle) < 8 or not all(type(byte) is int and 0 <= byte < 256 for byte in rle):
        raise MaskError("Its brush RLE must be a list of bytes.")
    # The decoder trusts the length in the first four bytes; it must be the image's before it is asked.
    if int.from_bytes(bytes(rle[:4]), "big") != wanted or len(rle) > 2 * wanted + 64:
        raise MaskError("Its brush RLE is made for another image's size.")
    try:
        pixels = decode_brush(rle)
    except (ValueError, IndexError, OverflowError) as error:
        raise MaskError(f"Its brush RLE is damaged: {error}.") from error
    return encode_mask(pixels.reshape(image.height_px, image.width_px, CHANNELS)[:, :, CHANNELS - 1] > 127)


def _polygon(value: dict, image: ImageRecord) -> Rle:
    """Label Studio's points are percent of the size."""
    points = value.get("points")
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise MaskError("Its points must be a list of [x, y].")
    if not all(type(number) in (int, float) for point in points for number in point):
        raise MaskError("Its points must be numbers.")
    flat = [share for x, y in points for share in (x * image.width_px / 100, y * image.height_px / 100)]
    return polygons_to_rle([flat], height_px=image.height_px, width_px=image.width_px)
