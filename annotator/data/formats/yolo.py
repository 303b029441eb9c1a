"""YOLO labels: one text file an image, one line an object, as shares of the size: `class x y x y …` or `class x y w h`.

A line is one polygon, or a box, whose mask is then coarse. Holes and separate parts are joined by bridges of no width,
so that nothing is lost; an image with an empty file is, by YOLO's convention, one without any of the classes. Source:
docs.ultralytics.com, "Instance segmentation datasets".
"""

from collections.abc import Mapping, Sequence

import numpy as np

from annotator.common.errors import MaskError
from annotator.common.masks import MAX_POLYGON_POINTS, Rle, encode_crop

from .documents import Size
from .outlines import is_through_pixels, pixels_outlined
from .records import ImageRecord, Instance, Problem
from .shapes import box_mask, polygon_mask
from .yolo_names import read_names

Names = Sequence[str] | Mapping[int, str]
BOX = 5  # columns


def read(text: str, *, file_name: str, width_px: int, height_px: int, names: Names) -> tuple[ImageRecord, list]:
    """One image's labels, outlines and boxes; a line that is wrong is a problem and leaves its class unsure."""
    image, problems = ImageRecord(file_name, width_px, height_px), []
    by_number = names_by_number(names)
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        parts = line.split()
        try:
            category = _class(parts[0], by_number)
        except MaskError as error:
            image.unsure.update(by_number.values())
            problems.append(Problem(f"{file_name}, line {number}", str(error)))
            continue
        try:
            image.instances.append(Instance(category, _mask(parts, (width_px, height_px)), coarse=len(parts) == BOX))
        except MaskError as error:
            image.unsure.add(category)
            problems.append(Problem(f"{file_name}, line {number}", str(error)))
    return image, problems


def names_by_number(names: Names) -> dict[int, str]:
    return dict(names) if isinstance(names, Mapping) else dict(enumerate(names))


def class_number(word: str) -> int | None:
    """numpy.savetxt writes 0 as 0.000000000000000000e+00; None where it is no whole number from 0."""
    try:
        value = float(word)
    except ValueError:
        return None
    return int(value) if value.is_integer() and 0 <= value < 1e9 else None


def _class(word: str, names: Mapping[int, str]) -> str:
    number = class_number(word)
    if number is None or number not in names:
        raise MaskError(f"{word[:20]!r} is no class of the list, which has {_listed(sorted(names))}.")
    return names[number]


def _listed(numbers: Sequence[int]) -> str:
    runs = f"{numbers[0]} to {numbers[-1]}" if numbers else "none"
    return runs if not numbers or len(numbers) == numbers[-1] - numbers[0] + 1 else ", ".join(map(str, numbers[:20]))


def _mask(parts: Sequence[str], size_px: Size) -> Rle:
    if len(parts) == BOX + 1:
        raise MaskError("It must be a box or three points at least; a box with a score is a model's prediction.")
    if len(parts) != BOX and (len(parts) < 7 or len(parts) % 2 == 0 or len(parts) > 2 * MAX_POLYGON_POINTS):
        raise MaskError("It must be a box, x y w h, or at least three points as x y x y …")
    try:
        values = np.array([*map(float, parts[1:])])
    except ValueError:
        raise MaskError("A coordinate is no number; decimals are written with a point.") from None
    if not ((values >= -0.01) & (values <= 1.01)).all():
        raise MaskError("Coordinates must be shares of the image's size, from 0 to 1.")
    points = values.reshape(-1, 2) * size_px
    if len(parts) != BOX:
        if is_through_pixels(points):  # as Roost writes them
            crop, x0, y0 = pixels_outlined(points, height_px=size_px[1], width_px=size_px[0])
            return encode_crop(crop, x0=x0, y0=y0, height_px=size_px[1], width_px=size_px[0])
        return polygon_mask(points.tolist(), size_px)
    (x, y), (width, height) = points.tolist()
    return box_mask((x - width / 2, y - height / 2, x + width / 2, y + height / 2), size_px)


__all__ = ["Names", "class_number", "names_by_number", "read", "read_names"]
