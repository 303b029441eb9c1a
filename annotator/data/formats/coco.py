"""COCO instance documents, as Roboflow, CVAT and pycocotools write them.

Verified negatives travel in LVIS's field `neg_category_ids` of the image, since COCO itself cannot tell "not there"
from "not looked at". Source: cocodataset.org "Data format"; lvisdataset.org for the negatives.
"""

from collections.abc import Sequence
from typing import Any

from annotator.common.errors import ImportRefusedError, MaskError
from annotator.common.masks import Rle, polygons_to_rle, rle_area, rle_box_xyxy, rle_checked

from .records import Category, Dataset, ImageRecord, Instance, Problem

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
    """Images, categories and masks of one document. Whatever is wrong in a part is a problem, not the end."""
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise ImportRefusedError("This is no COCO document: it has no list `images`.")
    dataset = Dataset()
    annotations = _rows(document, "annotations", dataset)
    categories = _categories(document, annotations, dataset)
    images = _images(document, categories, split, dataset)
    for number, row in enumerate(annotations):
        _read_annotation(row, f"annotation {row.get('id', f'no. {number + 1}')}", images, categories, dataset)
    return dataset


def write(images: Sequence[ImageRecord], categories: Sequence[Category], names: Sequence[str]) -> dict:
    """One document; `names` are the images' file names in the export."""
    ids = {category.name: category.id for category in categories}
    document: dict[str, Any] = {
        "info": {"description": "Exported from Roost; neg_category_ids lists verified negatives, as in LVIS."},
        "licenses": [],
        "categories": [
            {"id": category.id, "name": category.name, "supercategory": category.supercategory}
            for category in categories
        ],
        "images": [],
        "annotations": [],
    }
    for number, (image, name) in enumerate(zip(images, names, strict=True), start=1):
        document["images"].append(
            {
                "id": number,
                "file_name": name,
                "width": image.width_px,
                "height": image.height_px,
                "neg_category_ids": sorted(ids[category] for category in image.absent),
                "extra": {"name": image.name or name},
            }
        )
        for instance in image.instances:
            row = _annotation(len(document["annotations"]) + 1, number, ids[instance.category], instance.mask)
            document["annotations"].append(row)
    return document


def _annotation(number: int, image: int, category: int, mask: Rle) -> dict:
    x0, y0, x1, y1 = rle_box_xyxy(mask)
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": rle_area(mask),
        "segmentation": dict(mask),
        "iscrowd": 0,
    }


def _rows(document: dict, key: str, dataset: Dataset) -> list[dict]:
    rows = document.get(key, [])
    if not isinstance(rows, list):
        raise ImportRefusedError(f"This is no COCO document: `{key}` is not a list.")
    good = [row for row in rows if isinstance(row, dict)]
    if len(good) < len(rows):
        dataset.problems.append(Problem(key, f"{len(rows) - len(good)} entries are no objects."))
    return good


def _categories(document: dict, annotations: Sequence[dict], dataset: Dataset) -> dict[str, Category]:
    """By id as text. Roboflow's empty root category, which others name as their supercategory, is left out."""
    found: dict[str, Category] = {}
    for row in _rows(document, "categories", dataset):
        name, key = row.get("name"), _key(row.get("id"))
        if key is None or not isinstance(name, str) or not name.strip():
            dataset.problems.append(Problem("categories", f"A category without an id or a name: {str(row)[:80]}"))
        elif key in found:
            dataset.problems.append(
                Problem("categories", f"The category id {key} is used twice; the first one counts.")
            )
        else:
            number = int(key) if key.lstrip("-").isdigit() else len(found)
            found[key] = Category(number, name.strip(), str(row.get("supercategory") or ""))
    used = {_key(row.get("category_id")) for row in annotations}
    parents = {category.supercategory for category in found.values()}
    found = {key: category for key, category in found.items() if key in used or category.name not in parents}
    dataset.categories = list(found.values())
    return found


def _images(
    document: dict, categories: dict[str, Category], split: str | None, dataset: Dataset
) -> dict[str, ImageRecord]:
    found: dict[str, ImageRecord] = {}
    for number, row in enumerate(_rows(document, "images", dataset), start=1):
        key, name = _key(row.get("id")), row.get("file_name")
        width, height = row.get("width"), row.get("height")
        if key is None or not isinstance(name, str) or not name or type(width) is not int or type(height) is not int:
            dataset.problems.append(Problem(f"image no. {number}", "It lacks an id, a file_name, or its size in px."))
        elif key in found:
            dataset.problems.append(Problem(name, f"The image id {key} is used twice; the first one counts."))
        else:
            found[key] = ImageRecord(name, width, height, split=split, name=_original_name(row, name))
            found[key].absent = _absent(row, categories)
    dataset.images = list(found.values())
    return found


def _original_name(row: dict, file_name: str) -> str:
    """Roboflow keeps the name before its own renaming in extra.name."""
    extra = row.get("extra")
    name = extra.get("name") if isinstance(extra, dict) else None
    return name if isinstance(name, str) and name else file_name


def _absent(row: dict, categories: dict[str, Category]) -> list[str]:
    listed = row.get("neg_category_ids")
    keys = [_key(value) for value in listed] if isinstance(listed, list) else []
    return [categories[key].name for key in keys if key in categories]


def _read_annotation(
    row: dict, where: str, images: dict[str, ImageRecord], categories: dict[str, Category], dataset: Dataset
) -> None:
    image, category = images.get(_key(row.get("image_id")) or ""), categories.get(_key(row.get("category_id")) or "")
    if image is None or category is None:
        missing = "image" if image is None else "category"
        dataset.problems.append(Problem(where, f"Its {missing} is not in the file."))
        return
    try:
        image.instances.append(Instance(category.name, _mask(row, image)))
    except MaskError as error:
        image.unsure.add(category.name)
        dataset.problems.append(Problem(f"{image.file_name}, {where}", str(error)))


def _mask(row: dict, image: ImageRecord) -> Rle:
    segmentation = row.get("segmentation")
    if row.get("iscrowd"):
        raise MaskError("It marks a crowd and not one object; such a pair is left to be annotated.")
    if not segmentation:
        raise MaskError("It has no outline, only a box; such a pair is left to be annotated.")
    size = {"height_px": image.height_px, "width_px": image.width_px}
    reader = rle_checked if isinstance(segmentation, dict) else polygons_to_rle
    mask = reader(segmentation, **size)
    if rle_area(mask) == 0:
        raise MaskError("Its mask has no pixel inside the image.")
    return mask


def _key(value: Any) -> str | None:
    """Ids are numbers, but exporters write them as text, too."""
    return str(value) if type(value) in (int, str) and str(value) else None
