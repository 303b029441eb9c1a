"""COCO instance documents in Roboflow's folders, one a split.

Verified negatives are LVIS's `neg_category_ids`, pairs of which not every object is outlined its
`not_exhaustive_category_ids`. Source: cocodataset.org "Data format"; lvisdataset.org.
"""

from collections.abc import Sequence
from pathlib import Path

from annotator.common.masks import Rle, rle_area, rle_box_xyxy
from annotator.data.formats.records import Category

from .masks import mask_polygons
from .parts import ArraysDocument, Out, Row, Wishes, numbers_of

RLE = "Masks are compressed COCO RLE."
POLYGON = "Masks are polygons along the edges of pixels; holes are joined to them by lines of no width."


class CocoWriter:
    def __init__(self, categories: Sequence[Category], out: Out, spool: Path, wishes: Wishes) -> None:
        self._categories, self._out, self._spool, self._wishes = categories, out, spool, wishes
        self._numbers = numbers_of(categories)
        self._documents: dict[str, ArraysDocument] = {}

    def picture_path(self, row: Row) -> str:
        return f"{row.folder}/{row.name}"

    def add(self, row: Row) -> None:
        document = self._document(row.folder)
        document.add("images", self._image(row))
        for number, one in enumerate(row.record.instances, start=row.first_instance):
            document.add("annotations", self._annotation(number, row.number, self._numbers[one.category], one.mask))

    def finish(self) -> list[str]:
        for folder in sorted(self._documents):
            self._out.pieces(f"{folder}/_annotations.coco.json", self._documents[folder].pieces())
        masks = POLYGON if self._wishes.masks == "polygon" else RLE
        return [f"{masks} Verified negatives are listed per image in neg_category_ids, as in LVIS."]

    def _document(self, folder: str) -> ArraysDocument:
        if folder not in self._documents:
            rows = [{"id": one.id, "name": one.name, "supercategory": one.supercategory} for one in self._categories]
            about = "Exported from Roost; neg_category_ids lists verified negatives, as in LVIS."
            head = {"info": {"description": about}, "licenses": [], "categories": rows}
            self._documents[folder] = ArraysDocument(self._spool, head, ["images", "annotations"])
        return self._documents[folder]

    def _image(self, row: Row) -> dict:
        record = row.record
        return {
            "id": row.number,
            "file_name": row.name,
            "width": record.width_px,
            "height": record.height_px,
            "neg_category_ids": sorted(self._numbers[name] for name in record.absent),
            "not_exhaustive_category_ids": sorted(self._numbers[name] for name in record.incomplete),
            "extra": {"name": record.name or row.name},
        }

    def _annotation(self, number: int, image: int, category: int, mask: Rle) -> dict:
        x0, y0, x1, y1 = rle_box_xyxy(mask)
        as_polygons = self._wishes.masks == "polygon"
        return {
            "id": number,
            "image_id": image,
            "category_id": category,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": rle_area(mask),
            "segmentation": mask_polygons(mask) if as_polygons else {"size": mask["size"], "counts": mask["counts"]},
            "iscrowd": 0,
        }
