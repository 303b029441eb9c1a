"""SA-Co documents, one a split: a row of `images` is one (image, noun phrase) pair that somebody settled.

The phrase stands under `text_input`, as in the published files, and under `noun_phrase`, as some tools call it. Boxes
and areas are shares of the image's size, or pixels where that is asked for. Source: the SA-Co Gold files of SAM 3.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from annotator.common.masks import Rle, rle_area, rle_box_xyxy
from annotator.data.formats.records import Category, Instance

from .parts import ArraysDocument, Out, Row, Wishes

NOTE = (
    "One row of `images` is one (image, noun phrase) pair; a pair without annotations is a verified negative. Boxes "
    "and areas are {}. A pair of which not every object is outlined has is_instance_exhaustive 0."
)


class SacoWriter:
    def __init__(self, categories: Sequence[Category], out: Out, spool: Path, wishes: Wishes) -> None:
        self._categories, self._out, self._spool, self._wishes = categories, out, spool, wishes
        self._documents: dict[str, ArraysDocument] = {}

    def picture_path(self, row: Row) -> str:
        return f"images/{row.name}"

    def add(self, row: Row) -> None:
        masks: dict[str, list[tuple[int, Instance]]] = defaultdict(list)
        for number, one in enumerate(row.record.instances, start=row.first_instance):
            masks[one.category].append((number, one))
        for place, category in enumerate(self._categories):
            # Present without an outline: a row without annotations would say the contrary.
            if category.name in row.record.absent or masks[category.name]:
                self._pair(row, (row.number - 1) * len(self._categories) + place + 1, category, masks[category.name])

    def finish(self) -> list[str]:
        for split in sorted(self._documents):
            self._out.pieces(f"{split}.json", self._documents[split].pieces())
        return [NOTE.format("pixels" if self._wishes.boxes == "px" else "shares of the image's size")]

    def _pair(self, row: Row, pair: int, category: Category, masks: Sequence[tuple[int, Instance]]) -> None:
        document = self._documents.get(row.split)
        if document is None:
            head = {"categories": [{"id": 1, "name": "object"}]}
            document = self._documents[row.split] = ArraysDocument(self._spool, head, ["images", "annotations"])
        whole = int(category.name not in row.record.incomplete)
        document.add("images", _pair_row(pair, row, category, whole))
        for number, one in masks:
            document.add("annotations", annotation_row(number, pair, one.mask, in_px=self._wishes.boxes == "px"))


def _pair_row(pair: int, row: Row, category: Category, whole: int) -> dict:
    return {
        "id": pair,
        "file_name": row.name,
        "text_input": category.name,
        "noun_phrase": category.name,
        "width": row.record.width_px,
        "height": row.record.height_px,
        "queried_category": str(category.id),
        "is_instance_exhaustive": whole,
        "is_pixel_exhaustive": whole,
    }


def annotation_row(number: int, pair: int, mask: Rle, *, in_px: bool = False) -> dict:
    """Box [x, y, w, h] and area as shares of the picture's size, as the published format has them, or in pixels."""
    height, width = (1, 1) if in_px else mask["size"]
    x0, y0, x1, y1 = rle_box_xyxy(mask)
    return {
        "id": number,
        "image_id": pair,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height],
        "area": rle_area(mask) / (width * height),
        "segmentation": {"size": mask["size"], "counts": mask["counts"]},
    }
