"""YOLO labels: one text file an image, one line an object, coordinates as shares of the image's size.

Ultralytics cuts coordinates to whole pixels and draws the outline itself in (cv2.fillPoly), so the outline keeps
within the pixels that it borders. `data.yaml` has no `path`: then folders are looked for beside it, from wherever it is
used. Source: docs.ultralytics.com, "Instance segmentation datasets"; ultralytics/data/utils.py, read for facts.
"""

from collections.abc import Sequence
from pathlib import Path

import yaml

from annotator.common.masks import Rle, rle_box_xyxy
from annotator.data.formats.records import Category

from .masks import mask_line
from .parts import Out, Row, Wishes

NEGATIVES = (
    "YOLO can't tell a class that was verified absent from one that nobody looked for: an image's file lists what is "
    "there, and anything else counts as absent. So only pictures are in it of which every class is settled and "
    "outlined completely; the others are listed under left_out."
)
PARTS = "Separate parts of one object are joined by a line one pixel wide, because a line of labels is one polygon."


class YoloWriter:
    def __init__(self, categories: Sequence[Category], out: Out, spool: Path, wishes: Wishes) -> None:
        self._categories, self._out = categories, out
        # Classes are numbered in the order of the categories.
        self._classes = {category.name: number for number, category in enumerate(categories)}
        self._splits: set[str] = set()

    def picture_path(self, row: Row) -> str:
        return f"images/{row.split}/{row.name}"

    def add(self, row: Row) -> None:
        self._splits.add(row.split)
        lines = [f"{self._classes[one.category]} {self._shape(one.mask)}\n" for one in row.record.instances]
        self._out.text(f"labels/{row.split}/{row.stem}.txt", "".join(lines))

    def finish(self) -> list[str]:
        folders, told = split_folders(self._splits)
        names = dict(enumerate(category.name for category in self._categories))
        self._out.text("data.yaml", yaml.safe_dump({**folders, "names": names}, sort_keys=False, allow_unicode=True))
        return [NEGATIVES, *self._about_shapes(), *told]

    def _about_shapes(self) -> list[str]:
        return [PARTS]

    def _shape(self, mask: Rle) -> str:
        height, width = mask["size"]
        shares = (mask_line(mask) / (width, height)).ravel().tolist()
        return ("%.9g " * len(shares))[:-1] % tuple(shares)  # much faster than one by one


class YoloDetectWriter(YoloWriter):
    """Boxes alone: centre and size."""

    def _about_shapes(self) -> list[str]:
        return ["Masks are written as their boxes alone."]

    def _shape(self, mask: Rle) -> str:
        height, width = mask["size"]
        x0, y0, x1, y1 = rle_box_xyxy(mask)
        shares = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
        return " ".join(f"{share:.9g}" for share in shares)


def split_folders(splits: set[str]) -> tuple[dict[str, str], list[str]]:
    """Each split's folder, with `train` and `val` always among them, as YOLO asks for; and what that took."""
    folders: dict[str, str] = {
        split: f"images/{split}" for split in ("train", "val", "test", "holdout") if split in splits
    }
    told = []
    for needed, others in (("train", ("val", "test", "holdout")), ("val", ("train",))):
        if needed not in folders:
            stand_in = next((split for split in others if split in folders), "train")
            folders[needed] = f"images/{stand_in}"
            told.append(f"There is no picture of the split {needed}: data.yaml names {stand_in}'s pictures for it.")
    return {split: folders[split] for split in ("train", "val", *sorted(set(folders) - {"train", "val"}))}, told
