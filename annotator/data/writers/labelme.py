"""LabelMe's JSON, one file an image. Masks are its shape `mask`: the box's corners and the crop as PNG.

Verified negatives are image flags, `"no duck": true`; where not every object is outlined, `"not all duck": true`.
Source: labelme's label_file.py and shape.py, read for facts.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from annotator.common.masks import mask_cropped
from annotator.data.formats.records import Category, Instance

from .parts import Out, Row, Wishes, json_text

VERSION = "5.4.1"
NO, NOT_ALL = "no ", "not all "
NOTE = (
    "Masks are LabelMe's shape `mask`; verified negatives are image flags such as `no chicken`, and `not all chicken` "
    "says that some chickens are not outlined."
)


class LabelmeWriter:
    def __init__(self, categories: Sequence[Category], out: Out, spool: Path, wishes: Wishes) -> None:
        self._out = out

    def picture_path(self, row: Row) -> str:
        return f"{row.folder}/{row.name}"

    def add(self, row: Row) -> None:
        self._out.text(f"{row.folder}/{row.stem}.json", json_text(_document(row)))

    def finish(self) -> list[str]:
        return [NOTE]


def _document(row: Row) -> dict:
    flags = [f"{NO}{name}" for name in row.record.absent] + [
        f"{NOT_ALL}{name}" for name in sorted(row.record.incomplete)
    ]
    return {
        "version": VERSION,
        "flags": dict.fromkeys(flags, True),
        "shapes": [_shape(one) for one in row.record.instances],
        "imagePath": row.name,
        "imageData": None,
        "imageHeight": row.record.height_px,
        "imageWidth": row.record.width_px,
    }


def _shape(instance: Instance) -> dict:
    crop, x0, y0 = mask_cropped(instance.mask)
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, format="PNG", compress_level=3)
    return {
        "label": instance.category,
        # LabelMe's second corner is the last pixel inside.
        "points": [[x0, y0], [x0 + crop.shape[1] - 1, y0 + crop.shape[0] - 1]],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(buffer.getvalue()).decode("ascii"),
    }
