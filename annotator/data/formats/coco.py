"""COCO instance documents, as Roboflow, CVAT and pycocotools write them.

Verified negatives travel in LVIS's field `neg_category_ids` of the image, since COCO itself cannot tell "not there"
from "not looked at". Source: cocodataset.org "Data format"; lvisdataset.org for the negatives.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from annotator.common.errors import MaskError
from annotator.common.masks import Rle, polygons_to_rle, rle_area, rle_checked

from . import shapes
from .documents import Document, Listed, Size
from .records import Category, Dataset, ImageRecord, Instance, Problem
from .tables import Tables, ids_of, row_of, tables_of
from .values import flag_of, key_of, numbers_of, size_of

Reader = Callable[[dict, str, ImageRecord], Instance]

CROWD = "It marks a crowd and not one object; such a pair is left to be annotated."
SAYS_NOTHING = "It has no list of annotations: nothing is absent because of it."
NONE_FITS = "None of them finds its picture and its class in this file: nothing is absent because of it."
NEGATIVE, INCOMPLETE = "neg_category_ids", "not_exhaustive_category_ids"

SPLIT_NAMES = {
    "train": "train",
    "valid": "val",
    "val": "val",
    "validation": "val",
    "test": "test",
    "holdout": "holdout",
}


def split_named(folder: str) -> str | None:
    """The split that a folder's or file's name tells: Roboflow's train, valid, test; COCO's train2017, val2017."""
    word = folder.lower().rstrip("0123456789").strip("_-")
    return SPLIT_NAMES.get(word)


def read(document: Any, *, split: str | None = None) -> Dataset:
    """A parsed document as a whole, at the sizes that it says. What is wrong in a part is a problem, not the end."""
    return dataset_of(CocoDocument("It", tables_of(document), split))


def dataset_of(found: Document) -> Dataset:
    """Everything in a document at once; images of which it does not say the size are problems."""
    dataset = Dataset(categories=list(found.categories), problems=found.problems)
    for listed in found.images:
        if listed.size_px is None:
            dataset.problems.append(Problem(listed.file_name, "It lacks its size in px."))
            continue
        record, problems = found.read(listed, listed.size_px)
        dataset.images.append(record)
        dataset.problems += problems
    return dataset


class CocoDocument:
    """One document of instances (formats/documents.py says what a document is)."""

    format = "coco"

    def __init__(self, where: str, tables: Tables, split: str | None = None) -> None:
        self.where, self.problems = where, list[Problem]()
        self.counts: Counter[str] = Counter()
        self._annotations, self._of_image = tables.annotations, defaultdict[str, list[int]](list)
        ids = [ids_of(packed) for packed in tables.annotations]
        used = {pair[1] for pair in ids if pair}
        self._by_id = self._categories_of(tables.categories, used)
        self.categories: Sequence[Category] = list({one.name: one for one in self._by_id.values()}.values())
        self._rows: dict[str, dict] = {}
        self.images = self._listed(tables.images, split)
        self._count(ids)
        if why := self._why_silent(tables, ids):
            self.problems.append(Problem("annotations", why))
            self.images = [replace(one, covered=False) for one in self.images]

    def read(self, listed: Listed, size_px: Size) -> tuple[ImageRecord, list[Problem]]:
        """Its objects; a document that was made for the picture as the sensor saw it is told by name."""
        row = self._rows[listed.key]
        record = ImageRecord(listed.file_name, *size_px, split=listed.split, name=listed.name)
        record.absent, record.incomplete = self._named(row, NEGATIVE), set(self._named(row, INCOMPLETE))
        problems: list[Problem] = []
        annotations = [(number, row_of(self._annotations[number])) for number in self._of_image[listed.key]]
        why_not = unfit(listed.size_px, size_px, [one for _, one in annotations])
        if why_not:
            record.unsure |= {category.name for category in self.categories}
            record.absent = []
            return record, [Problem(listed.file_name, why_not)]
        for number, annotation in annotations:
            self._read_annotation(annotation, number, record, problems)
        return record, problems

    def _read_annotation(self, row: dict, number: int, record: ImageRecord, problems: list[Problem]) -> None:
        key = key_of(row.get("category_id"))
        where = f"{record.file_name}, annotation {row.get('id', f'no. {number + 1}')}"
        if key not in self._by_id:
            record.unsure.add(f"category {key}")
            problems.append(Problem(where, "Its category is not in the file."))
            return
        name = self._by_id[key].name
        try:
            record.instances.append(read_twice(_instance, row, name, record))
        except MaskError as error:
            record.unsure.add(name)
            problems.append(Problem(where, str(error)))

    def _named(self, row: dict, key: str) -> list[str]:
        listed = row.get(key)
        keys = [key_of(value) for value in listed] if isinstance(listed, list) else []
        return list(dict.fromkeys(self._by_id[key].name for key in keys if key in self._by_id))

    def _categories_of(self, rows: list[Any], used: set[str | None]) -> dict[str | None, Category]:
        """By id. A root that others name as their parent and that nobody uses (Roboflow's) is left out."""
        found: dict[str | None, Category] = {}
        for row in rows:
            name, key = (row.get("name"), key_of(row.get("id"))) if isinstance(row, dict) else (None, None)
            if key is None or not isinstance(name, str | int) or not str(name).strip():
                self.problems.append(Problem("categories", f"A category without an id or a name: {str(row)[:80]}"))
            elif key in found:
                self.problems.append(
                    Problem("categories", f"The category id {key} is used twice; the first one counts.")
                )
            else:
                number = int(key) if key.lstrip("-").isdigit() else len(found)
                found[key] = Category(number, str(name).strip(), str(row.get("supercategory") or ""))
        parents = {key: _parents(category, key, found) for key, category in found.items()}
        named = set().union(*parents.values()) if parents else set()
        roots = {key for key, one in found.items() if key not in used and key in named and _is_root(one)}
        gone = {found[key].name for key in roots}
        kept = {key: one for key, one in found.items() if key not in roots}
        # A class may be called like the root that went; it is no parent of the others by that.
        return {key: replace(one, supercategory="") if one.supercategory in gone else one for key, one in kept.items()}

    def _listed(self, rows: list[Any], split: str | None) -> list[Listed]:
        found: dict[str, Listed] = {}
        ambiguous: set[str] = set()
        for number, row in enumerate(rows, start=1):
            key = key_of(row.get("id")) if isinstance(row, dict) else None
            name = _file_name(row) if isinstance(row, dict) else ""
            if key is None or not name:
                self.problems.append(Problem(f"image no. {number}", "It lacks an id or a file_name."))
            elif key in found:
                if found[key].file_name != name:
                    ambiguous.add(key)
                    self.problems.append(
                        Problem(name, f"The image id {key} is used twice; neither picture's objects count.")
                    )
            else:
                self._rows[key] = row
                found[key] = Listed(name, key, split, _original_name(row, name), size_of(row))
        for key in ambiguous:
            found[key] = replace(found[key], covered=False)
            self._rows[key] = {}
        self._ambiguous = ambiguous
        return list(found.values())

    def _count(self, ids: list[tuple[str | None, str | None] | None]) -> None:
        bad = 0
        for number, pair in enumerate(ids):
            if pair is None:
                bad += 1
                continue
            image, category = pair
            if category in self._by_id:
                self.counts[self._by_id[category].name] += 1
            if image is None or image not in self._rows:
                self.problems.append(Problem(f"annotation no. {number + 1}", "Its image is not in the file."))
            elif image not in self._ambiguous:
                self._of_image[image].append(number)
        if bad:
            self.problems.append(Problem("annotations", f"{bad} entries are no objects."))

    def _why_silent(self, tables: Tables, ids: list[tuple[str | None, str | None] | None]) -> str:
        """Why the document says nothing of what is not there; empty where it does."""
        if not tables.has_annotations:
            return SAYS_NOTHING
        found = any(pair and pair[0] in self._rows and pair[1] in self._by_id for pair in ids)
        return NONE_FITS if ids and not found else ""


def _parents(category: Category, key: str | None, found: dict[str | None, Category]) -> set[str | None]:
    """Ids of the other categories that it names as its parent; to be one's own parent says nothing."""
    return {other for other, one in found.items() if other != key and one.name == category.supercategory}


def _is_root(category: Category) -> bool:
    return category.supercategory.lower() in ("", "none", "null")


def _file_name(row: dict) -> str:
    """LVIS v1 has no file_name: the last part of an address stands for it."""
    for key in ("file_name", "path", "coco_url", "flickr_url"):
        if isinstance(value := row.get(key), str) and value:
            return value.split("?")[0].rsplit("/", 1)[-1] if "://" in value else value
    return ""


def _original_name(row: dict, file_name: str) -> str:
    """Roboflow keeps the name before its own renaming in extra.name."""
    extra = row.get("extra")
    name = extra.get("name") if isinstance(extra, dict) else None
    return name if isinstance(name, str) and name else file_name


def unfit(said: Size | None, found: Size, annotations: list[dict]) -> str:
    """Why masks made for a picture of the size `said` can't be laid on this one; else empty (shapes.unfit)."""
    return shapes.unfit(said, found, (_extent(row) for row in annotations))


def _extent(row: dict) -> tuple[float, float]:
    """How far right and down an outline reaches; an RLE tells by its own size."""
    segmentation = row.get("segmentation")
    if isinstance(segmentation, dict):
        size = segmentation.get("size")
        if isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size):
            return size[1], size[0]
        return 0.0, 0.0
    try:
        parts = [np.asarray(part).reshape(-1, 2) for part in polygons_of(segmentation)]
    except MaskError:
        return 0.0, 0.0
    return (
        max((float(p[:, 0].max()) for p in parts), default=0.0),
        max((float(p[:, 1].max()) for p in parts), default=0.0),
    )


def read_twice(read: Reader, row: dict, name: str, image: ImageRecord) -> Instance:
    """As it is written, else with the numbers that its text and floats mean; few files need that, and it takes time."""
    try:
        return read(row, name, image)
    except MaskError:
        plain = {key: numbers_of(row.get(key)) for key in ("segmentation", "bbox")}
        return read({**row, **plain}, name, image)


def _instance(row: dict, name: str, image: ImageRecord) -> Instance:
    segmentation = row.get("segmentation")
    size = {"height_px": image.height_px, "width_px": image.width_px}
    if flag_of(row.get("iscrowd")):
        raise MaskError(CROWD)
    if not segmentation:
        return Instance(name, box_mask(row.get("bbox"), image), coarse=True)
    mask = rle_checked(segmentation, **size) if isinstance(segmentation, dict) else _filled(segmentation, size)
    if rle_area(mask) == 0:
        raise MaskError("Its mask has no pixel inside the image.")
    return Instance(name, mask)


def _filled(segmentation: Any, size: dict[str, int]) -> Rle:
    parts = polygons_of(segmentation)
    areas = [part for part in parts if len(part) >= 6]
    return polygons_to_rle(areas or parts, **size)


def polygons_of(segmentation: Any) -> list[list[float]]:
    """[x, y, x, y, …] of each part, however they are nested: VIA writes one flat list, others pairs of points.

    MaskError where it is no outline.
    """
    if not isinstance(segmentation, list) or not segmentation:
        raise MaskError("A polygon mask must be a list of at least one polygon.")
    if _all_numbers(segmentation):
        return [segmentation]
    if all(_is_point(part) for part in segmentation):
        return [[value for point in segmentation for value in point]]
    parts = []
    for part in segmentation:
        if isinstance(part, list) and part and all(_is_point(point) for point in part):
            part = [value for point in part for value in point]
        if not isinstance(part, list) or not _all_numbers(part):
            raise MaskError("A polygon must list at least three points as x, y, x, y, …")
        parts.append(part)
    return [part for part in parts if part] or parts


def _all_numbers(values: list) -> bool:
    return all(type(value) in (int, float) for value in values)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _all_numbers(value)


def box_mask(box_xywh: Any, image: ImageRecord) -> Rle:
    """The filled box [x, y, w, h] in px, for an object of which nothing better is known; MaskError where it is none."""
    if not isinstance(box_xywh, list) or len(box_xywh) != 4 or not _all_numbers(box_xywh):
        raise MaskError("It has no outline and no box; such a pair is left to be annotated.")
    x, y, w, h = box_xywh
    if w <= 0 or h <= 0:
        raise MaskError(shapes.NOT_ON_THE_PICTURE)
    return shapes.box_mask((x, y, x + w, y + h), (image.width_px, image.height_px))
