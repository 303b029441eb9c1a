"""Label Studio's regions -> masks. Points and sides are percent of the picture's size; brush RLE is not COCO's.

A rectangle is a box around an object, so its mask is coarse (label_studio.py says so).
"""

import base64
import binascii
import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from annotator.common.errors import MaskError
from annotator.common.masks import Rle, encode_mask, polygons_to_rle

from .brush_runs import unbrushed
from .documents import Size
from .shapes import box_mask, ellipse_mask, finite

MAX_BITMASK_BYTES = 50 * 1024 * 1024
SHAPES = ("brush", "polygon", "rectangle", "ellipse", "bitmask")  # so named when they carry no label


def _unbrushed(value: dict, size_px: Size) -> Rle:
    rle = value.get("rle")
    if not isinstance(rle, list) or not set(map(type, rle)) <= {int}:
        raise MaskError("Its brush RLE must be a list of bytes.")
    try:
        packed = bytes(rle)
    except ValueError:
        raise MaskError("Its brush RLE must be a list of bytes.") from None
    return unbrushed(packed, size_px)


def _polygon(value: dict, size_px: Size) -> Rle:
    points = value.get("points")
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise MaskError("Its points must be a list of [x, y].")
    finite(number for point in points for number in point)
    flat = [share for x, y in points for share in (x * size_px[0] / 100, y * size_px[1] / 100)]
    return polygons_to_rle([flat], height_px=size_px[1], width_px=size_px[0])


def _rectangle(value: dict, size_px: Size) -> Rle:
    """Turned about its first corner."""
    if not {"x", "y", "width", "height"} <= set(value):
        raise MaskError("It has no sides and no mask.")
    x, y, width, height = _pixels(value, ("x", "y", "width", "height"), size_px)
    if width <= 0 or height <= 0:
        raise MaskError("Its width and height must be more than 0.")
    return box_mask((x, y, x + width, y + height), size_px, turned_deg=_rotation(value), about="corner")


def _ellipse(value: dict, size_px: Size) -> Rle:
    x, y, radius_x, radius_y = _pixels(value, ("x", "y", "radiusX", "radiusY"), size_px)
    return ellipse_mask((x, y), (radius_x, radius_y), size_px, turned_deg=_rotation(value))


def _bitmask(value: dict, size_px: Size) -> Rle:
    """A PNG of the picture's size; the object is where it is neither see-through nor black."""
    encoded = value.get("imageDataURL")
    prefix = "data:image/png;base64,"
    if not isinstance(encoded, str) or not encoded.startswith(prefix) or len(encoded) > MAX_BITMASK_BYTES:
        raise MaskError("It has no picture of the mask, or one too large.")
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded[len(prefix) :], validate=True)), formats=["PNG"]) as mask:
            if mask.size != size_px:  # before a pixel is decoded
                raise MaskError(f"The mask's picture has {mask.size} px, the image {size_px}.")
            pixels = np.asarray(mask.convert("RGBA"))
    except (binascii.Error, ValueError, OSError, SyntaxError) as error:
        raise MaskError(f"The mask's picture can't be read: {error}.") from error
    return encode_mask((pixels[:, :, :3].max(axis=2) > 0) & (pixels[:, :, 3] > 127))


def _pixels(value: dict, keys: tuple[str, ...], size_px: Size) -> list[float]:
    shares = finite(value.get(key) for key in keys)
    return [share * size_px[number % 2] / 100 for number, share in enumerate(shares)]


def _rotation(value: dict) -> float:
    return finite([value.get("rotation") or 0])[0]


READ: dict[str, Callable[[dict, Size], Rle]] = {
    "brushlabels": _unbrushed,
    "polygonlabels": _polygon,
    "rectanglelabels": _rectangle,
    "ellipselabels": _ellipse,
    "bitmasklabels": _bitmask,
}
