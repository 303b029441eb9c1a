"""YOLO segmentation labels: one text file an image, one line an object, `class x y x y …` as shares of the size.

A line is one polygon. Holes and separate parts are joined by bridges of no width, so that nothing is lost; an image
with an empty file is, by YOLO's convention, one without any of the classes. Source: docs.ultralytics.com, "Instance
segmentation datasets".
"""

from collections.abc import Sequence

import yaml

from annotator.common.errors import ImportRefusedError, MaskError
from annotator.common.masks import MAX_POLYGON_POINTS, Rle, decode_rle, polygons_to_rle, rle_area

from .outlines import single_outline
from .records import Category, ImageRecord, Instance, Problem


def write(image: ImageRecord, categories: Sequence[Category]) -> str:
    """The label file of one image; classes are numbered in the order of `categories`."""
    classes = {category.name: number for number, category in enumerate(categories)}
    lines = [f"{classes[one.category]} {_shares(one.mask)}\n" for one in image.instances if rle_area(one.mask)]
    return "".join(lines)


def write_names(categories: Sequence[Category], splits: Sequence[str]) -> str:
    """data.yaml, with paths relative to itself."""
    folders = {split: f"images/{split}" for split in splits}
    names = dict(enumerate(category.name for category in categories))
    return yaml.safe_dump({"path": ".", **folders, "names": names}, sort_keys=False, allow_unicode=True)


def read(text: str, *, file_name: str, width_px: int, height_px: int, names: Sequence[str]) -> tuple[ImageRecord, list]:
    """One image's labels; a line that is wrong is a problem and leaves its category unsure."""
    image, problems = ImageRecord(file_name, width_px, height_px), []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            category, mask = _line(line.split(), width_px, height_px, names)
            image.instances.append(Instance(category, mask))
        except MaskError as error:
            image.unsure.update(names)
            problems.append(Problem(f"{file_name}, line {number}", str(error)))
    return image, problems


def read_names(text: str) -> list[str]:
    """The class names of data.yaml, a list or a map from number to name; nothing in the file is run or opened."""
    try:
        names = yaml.safe_load(text)["names"]
    except (yaml.YAMLError, TypeError, KeyError, RecursionError):
        raise ImportRefusedError("data.yaml is no YOLO data file: it must be plain YAML with `names`.") from None
    if isinstance(names, dict) and all(type(key) is int for key in names):
        names = [names[key] for key in sorted(names)]
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ImportRefusedError("data.yaml is no YOLO data file: `names` must list the classes' names.")
    return names


def _shares(mask: Rle) -> str:
    height, width = mask["size"]
    return " ".join(f"{x / width:.8g} {y / height:.8g}" for x, y in single_outline(decode_rle(mask)))


def _line(parts: Sequence[str], width_px: int, height_px: int, names: Sequence[str]) -> tuple[str, Rle]:
    if not parts[0].isdecimal() or not parts[0].isascii() or int(parts[0]) >= len(names):
        raise MaskError(f"{parts[0][:20]!r} is no class from 0 to {len(names) - 1}.")
    if len(parts) == 5:
        raise MaskError("It has only a box; segmentation labels list the outline's points.")
    if len(parts) < 7 or len(parts) % 2 == 0 or len(parts) > 2 * MAX_POLYGON_POINTS:
        raise MaskError("It must list at least three points as x y x y …")
    try:
        values = [float(part) for part in parts[1:]]
    except ValueError:
        raise MaskError("A coordinate is no number; decimals are written with a point.") from None
    if not all(-0.01 <= value <= 1.01 for value in values):
        raise MaskError("Coordinates must be shares of the image's size, from 0 to 1.")
    scales = (width_px, height_px)
    polygon = [value * scales[index % 2] for index, value in enumerate(values)]
    mask = polygons_to_rle([polygon], height_px=height_px, width_px=width_px)
    if rle_area(mask) == 0:
        raise MaskError("It covers no pixel.")
    return names[int(parts[0])], mask
