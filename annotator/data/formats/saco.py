"""SA-Co documents: one row of `images` is one (image, noun phrase) pair; a pair without annotations is a negative.

Boxes and areas are shares of the image's size, masks compressed COCO RLE. Source: the SA-Co Gold files of SAM 3.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from annotator.common.errors import ImportRefusedError, MaskError
from annotator.common.masks import Rle, rle_area, rle_box_xyxy, rle_checked

from .records import Category, Dataset, ImageRecord, Instance, Problem


def write(images: Sequence[ImageRecord], categories: Sequence[Category], names: Sequence[str]) -> dict:
    """One document; only pairs that somebody settled have a row."""
    document: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "object"}]}
    for image, name in zip(images, names, strict=True):
        for category in categories:
            masks = image.masks_of(category.name)
            if not masks and category.name not in image.absent:
                continue
            pair = _pair(len(document["images"]) + 1, image, name, category)
            document["images"].append(pair)
            for mask in masks:
                document["annotations"].append(_annotation(len(document["annotations"]) + 1, pair["id"], mask))
    return document


def read(document: Any, *, split: str | None = None) -> Dataset:
    """Pairs of one image become one record; a bad part is a problem and leaves its pair unsure."""
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key), list) for key in ("images", "annotations")
    ):
        raise ImportRefusedError("This is no SA-Co document: it needs lists `images` and `annotations`.")
    dataset = Dataset()
    rows = defaultdict(list)
    for row in document["annotations"]:
        if isinstance(row, dict):
            rows[row.get("image_id")].append(row)
    images: dict[str, ImageRecord] = {}
    for number, pair in enumerate(document["images"], start=1):
        try:
            _read_pair(pair, rows, images, split)
        except MaskError as error:
            dataset.problems.append(Problem(f"pair no. {number}", str(error)))
    dataset.images = list(images.values())
    phrases = dict.fromkeys(one.category for image in dataset.images for one in image.instances)
    phrases.update(dict.fromkeys(name for image in dataset.images for name in image.absent))
    dataset.categories = [Category(number, name) for number, name in enumerate(phrases, start=1)]
    return dataset


def _read_pair(pair: Any, rows: dict, images: dict[str, ImageRecord], split: str | None) -> None:
    keys = {"file_name": str, "text_input": str, "width": int, "height": int}
    if not isinstance(pair, dict) or any(type(pair.get(key)) is not kind for key, kind in keys.items()):
        raise MaskError(f"A pair needs {', '.join(keys)}.")
    size = {"height_px": pair["height"], "width_px": pair["width"]}
    image = images.setdefault(
        pair["file_name"], ImageRecord(pair["file_name"], pair["width"], pair["height"], split, pair["file_name"])
    )
    try:
        masks = [rle_checked(row.get("segmentation"), **size) for row in rows[pair.get("id")]]
    except MaskError:
        image.unsure.add(pair["text_input"])
        raise
    image.instances += [Instance(pair["text_input"], mask) for mask in masks]
    if not masks:
        image.absent.append(pair["text_input"])


def _pair(number: int, image: ImageRecord, name: str, category: Category) -> dict:
    return {
        "id": number,
        "file_name": name,
        "text_input": category.name,
        "width": image.width_px,
        "height": image.height_px,
        "queried_category": str(category.id),
        "is_instance_exhaustive": 1,
        "is_pixel_exhaustive": 1,
    }


def _annotation(number: int, pair: int, mask: Rle) -> dict:
    height, width = mask["size"]
    x0, y0, x1, y1 = rle_box_xyxy(mask)
    return {
        "id": number,
        "image_id": pair,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height],
        "area": rle_area(mask) / (width * height),
        "segmentation": dict(mask),
    }
