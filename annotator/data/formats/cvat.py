"""CVAT's «CVAT for images 1.1»: one XML file for all images of a task, which lists those without objects as well.

Boxes are coarse. Polygons, ellipses and masks of one label and group are one object, as in CVAT's own COCO export.
Tags and attributes are not about masks: they are counted and left out. Source: docs.cvat.ai, "CVAT for images".
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from xml.etree.ElementTree import Element, ParseError, fromstring, tostring

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from annotator.common.errors import ImportRefusedError, MaskError
from annotator.common.masks import Rle, encode_mask

from .coco import split_named
from .documents import Listed, Size
from .records import MAX_JSON_BYTES, Category, ImageRecord, Instance, Problem
from .shapes import NO_LABEL, box_mask, covering, ellipse_mask, finite, polygon_mask, unfit, united
from .values import key_of, whole_of

AREAS = ("polygon", "box", "ellipse", "mask")
NO_AREAS = ("polyline", "points", "cuboid", "skeleton")
MAX_POINTS = 4 * 1024 * 1024  # characters


class CvatXml:
    """formats/documents.py says what a document is. An image's element is kept as text and parsed when it is read."""

    format = "cvat"

    def __init__(self, where: str, content: bytes) -> None:
        self.where, self.problems, self.counts = where, list[Problem](), Counter[str]()
        self.images: list[Listed] = []
        self._left_out: Counter[str] = Counter()
        labels: dict[str, None] = {}
        for element in _elements(content):
            if element.tag == "image":
                self._add(element)
            else:
                labels.update(dict.fromkeys(_label_names(element)))
        labels.update(dict.fromkeys(sorted(self.counts.keys() - {NO_LABEL})))
        self.categories: Sequence[Category] = [Category(number, name) for number, name in enumerate(labels, start=1)]
        for what, count in self._left_out.items():
            self.problems.append(Problem(where, f"{count} {what} were left out: they tell no outline."))

    def read(self, listed: Listed, size_px: Size) -> tuple[ImageRecord, list[Problem]]:
        record = ImageRecord(listed.file_name, *size_px, split=listed.split, name=listed.name)
        image = fromstring(listed.key)
        shapes = [shape for shape in image if shape.tag in AREAS + NO_AREAS]
        everything = {category.name for category in self.categories}
        if why_not := unfit(listed.size_px, size_px, [point for shape in shapes for point in _reach(shape)]):
            record.unsure |= everything
            return record, [Problem(listed.file_name, why_not)]
        problems = [Problem(f"{listed.file_name}, shape {number}", why) for number, why in _add_objects(shapes, record)]
        if NO_LABEL in record.unsure:
            record.unsure |= everything
        record.only_named({tag.get("label", "") for tag in image.findall("tag")} & everything)
        return record, problems

    def _add(self, image: Element) -> None:
        name = image.get("name")
        if not name:
            self.problems.append(Problem(f"image {image.get('id', '?')}", "It has no name."))
            return
        for group in _objects([shape for shape in image if shape.tag in AREAS + NO_AREAS]):
            self.counts[group[0]] += 1
        self._left_out["tags of whole images"] += len(image.findall("tag"))
        self._left_out["attributes"] += len(image.findall(".//attribute"))
        self._left_out += Counter()
        width, height = whole_of(image.get("width")), whole_of(image.get("height"))
        size = (width, height) if width and height else None
        split = split_named(image.get("subset", ""))
        self.images.append(Listed(name, tostring(image), split, name.rsplit("/", 1)[-1], size))


def _elements(content: bytes) -> Iterator[Element]:
    """`meta` and each `image`, one after the other; ImportRefusedError for what is no such file, or a trap."""
    if len(content) > MAX_JSON_BYTES:
        raise ImportRefusedError(f"It has more than {MAX_JSON_BYTES // 2**20} MB; split the export into parts.")
    depth, root = 0, None
    try:
        for event, element in iterparse(BytesIO(content), events=("start", "end"), forbid_dtd=True):
            depth += 1 if event == "start" else -1
            root = element if root is None else root
            if event == "end" and depth == 1 and element.tag in ("meta", "image"):
                yield element
                root.clear()
    except DefusedXmlException:
        raise ImportRefusedError("It declares entities or a document type; no export of CVAT does.") from None
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise ImportRefusedError(f"It is not valid XML: {error}.") from None


def _label_names(meta: Element) -> Iterator[str]:
    """Those of the task, also where nobody used them. Labels of an attribute or a skeleton's parts are none."""
    for label in meta.iter("label"):
        name = label.findtext("name")
        if name and label.find("parent") is None and label.findtext("type", "any") != "tag":
            yield name


def _objects(shapes: list[Element]) -> list[tuple[str, list[tuple[int, Element]]]]:
    """(label, its numbered shapes); group 0 and none stand alone."""
    found: dict[object, tuple[str, list[tuple[int, Element]]]] = {}
    for number, shape in enumerate(shapes, start=1):
        label = shape.get("label") or NO_LABEL
        group = key_of(shape.get("group_id"))
        key = (label, group) if group not in (None, "0") and shape.tag in AREAS and label != NO_LABEL else number
        found.setdefault(key, (label, []))[1].append((number, shape))
    return list(found.values())


def _add_objects(shapes: list[Element], record: ImageRecord) -> list[tuple[int, str]]:
    problems = []
    for label, members in _objects(shapes):
        parts: list[Rle] = []
        for number, shape in members:
            try:
                parts.append(_mask(shape, label, (record.width_px, record.height_px)))
            except MaskError as error:
                record.unsure.add(label)
                problems.append((number, str(error)))
        if parts:
            coarse = any(shape.tag == "box" for _, shape in members)
            record.instances.append(Instance(label, united(parts), coarse=coarse))
    return problems


def _mask(shape: Element, label: str, size_px: Size) -> Rle:
    if label == NO_LABEL:
        raise MaskError("The shape has no label.")
    turned = _numbers(shape, "rotation")[0] if shape.get("rotation") else 0.0
    if shape.tag == "polygon":
        return polygon_mask(_points(shape), size_px)
    if shape.tag == "box":
        return box_mask(_numbers(shape, "xtl", "ytl", "xbr", "ybr"), size_px, turned_deg=turned)
    if shape.tag == "ellipse":
        cx, cy, rx, ry = _numbers(shape, "cx", "cy", "rx", "ry")
        return ellipse_mask((cx, cy), (rx, ry), size_px, turned_deg=turned)
    if shape.tag == "mask":
        return _pasted(shape, size_px)
    raise MaskError(f"Its shape {shape.tag!r} is no area.")


def _points(shape: Element) -> list[list[float]]:
    """`x,y;x,y;…`"""
    text = shape.get("points", "")
    if len(text) > MAX_POINTS:
        raise MaskError("It has too many points; simplify it.")
    try:
        points = [[float(value) for value in point.split(",")] for point in text.split(";") if point]
    except ValueError:
        raise MaskError("Its points must be numbers, x,y;x,y;…") from None
    if any(len(point) != 2 for point in points):
        raise MaskError("Its points must be pairs, x,y;x,y;…")
    return points


def _pasted(shape: Element, size_px: Size) -> Rle:
    """Runs along the rows of a crop, background first; what lies outside the picture is cut off."""
    left, top, columns, rows = (int(value) for value in _numbers(shape, "left", "top", "width", "height"))
    text = shape.get("rle", "")
    if not (0 < columns <= size_px[0] and 0 < rows <= size_px[1]) or len(text) > 16 * columns * rows + 64:
        raise MaskError("The mask's crop is larger than the picture.")
    try:
        runs = np.array([int(run) for run in text.split(",")], dtype=np.int64)
    except (ValueError, OverflowError):
        raise MaskError("The mask's runs must be whole numbers.") from None
    if (runs < 0).any() or (runs > columns * rows).any() or runs.sum() != columns * rows:
        raise MaskError(f"The mask's runs do not add up to its {columns} x {rows} px.")
    crop = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(rows, columns)
    mask = np.zeros((size_px[1], size_px[0]), dtype=bool)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + columns, size_px[0]), min(top + rows, size_px[1])
    if x0 < x1 and y0 < y1:
        mask[y0:y1, x0:x1] = crop[y0 - top : y1 - top, x0 - left : x1 - left]
    return covering(encode_mask(mask))


def _reach(shape: Element) -> list[list[float]]:
    """Points that tell how far it reaches, where it says so."""
    try:
        if shape.tag == "polygon":
            return _points(shape)
        if shape.tag == "box" and not shape.get("rotation"):
            return [_numbers(shape, "xbr", "ybr")]
        if shape.tag == "mask":
            left, top, width, height = _numbers(shape, "left", "top", "width", "height")
            return [[left + width, top + height]]
    except MaskError:
        pass
    return []


def _numbers(shape: Element, *keys: str) -> list[float]:
    try:
        return finite(float(shape.get(key, "")) for key in keys)
    except ValueError:
        raise MaskError(f"It needs {', '.join(keys)} as numbers.") from None
