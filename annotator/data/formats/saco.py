"""SA-Co documents: one row of `images` is one (image, noun phrase) pair; a pair without annotations is a negative.

Boxes and areas are shares of the image's size, masks compressed COCO RLE. Source: the SA-Co Gold files of SAM 3.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from annotator.common.errors import MaskError
from annotator.common.masks import polygons_to_rle, rle_area, rle_checked

from .coco import CROWD, NONE_FITS, SAYS_NOTHING, box_mask, dataset_of, polygons_of, read_twice, unfit
from .documents import Listed, Size
from .records import PSEUDO, Category, Dataset, ImageRecord, Instance, Problem
from .tables import Tables, ids_of, row_of, tables_of
from .values import flag_of, key_of, size_of


def read(document: Any, *, split: str | None = None) -> Dataset:
    """A parsed document as a whole, at the sizes that it says; a bad part is a problem and leaves its pair unsure."""
    return dataset_of(SacoDocument("It", tables_of(document), split))


class SacoDocument:
    """One document of (image, phrase) pairs. Each row speaks for itself: nothing else in it may be vouched for."""

    format = "saco"

    def __init__(self, where: str, tables: Tables, split: str | None = None) -> None:
        self.where, self.problems = where, list[Problem]()
        self.counts: Counter[str] = Counter()
        self._annotations = tables.annotations
        self._pairs: dict[str, list[dict]] = defaultdict(list)
        self._of_pair: dict[str, list[int]] = defaultdict(list)
        self._phrases: dict[str, str] = {}
        for number, row in enumerate(tables.images, start=1):
            self._add_pair(row, number)
        for number, packed in enumerate(tables.annotations):
            self._add_annotation(packed, number)
        self._why_silent = self._silent(tables)
        if self._why_silent:
            self.problems.append(Problem("annotations", self._why_silent))
        phrases = dict.fromkeys(self._phrases.values())
        self.categories: Sequence[Category] = [Category(number, name) for number, name in enumerate(phrases, start=1)]
        self.images = [
            Listed(name, name, split, name, size_of(rows[0]), covered=False) for name, rows in self._pairs.items()
        ]

    def _add_pair(self, row: Any, number: int) -> None:
        name, key = (_phrase(row), key_of(row.get("id"))) if isinstance(row, dict) else ("", None)
        file_name = row.get("file_name") if isinstance(row, dict) else None
        if not name or key is None or not isinstance(file_name, str) or not file_name:
            self.problems.append(Problem(f"pair no. {number}", "A pair needs id, file_name and text_input."))
        elif key in self._phrases:
            self.problems.append(Problem(f"pair no. {number}", f"The id {key} is used twice; the first one counts."))
        else:
            self._phrases[key] = name
            self._pairs[file_name].append(row)

    def _add_annotation(self, packed: Any, number: int) -> None:
        ids = ids_of(packed)
        if ids is None or ids[0] not in self._phrases:
            self.problems.append(Problem(f"annotation no. {number + 1}", "Its pair is not in the file."))
        else:
            self.counts[self._phrases[ids[0]]] += 1
            self._of_pair[ids[0]].append(number)

    def _silent(self, tables: Tables) -> str:
        """Why its pairs without annotations are no negatives; empty where they are."""
        if not tables.has_annotations:
            return SAYS_NOTHING
        return NONE_FITS if tables.annotations and not self._of_pair else ""

    def read(self, listed: Listed, size_px: Size) -> tuple[ImageRecord, list[Problem]]:
        """Its pairs; one that is there twice is present if either says so, and complete if both say so."""
        record = ImageRecord(listed.file_name, *size_px, split=listed.split, name=listed.name)
        problems: list[Problem] = []
        rows = [row_of(self._annotations[n]) for pair in self._pairs[listed.key] for n in self._numbers(pair)]
        if why_not := unfit(listed.size_px, size_px, rows):
            record.unsure |= {_phrase(pair) for pair in self._pairs[listed.key]}
            return record, [Problem(listed.file_name, why_not)]
        for row in self._pairs[listed.key]:
            self._read_pair(row, record, problems)
        present = {one.category for one in record.instances}
        record.complete -= record.incomplete | record.unsure
        record.absent = [name for name in record.absent if name not in present | record.incomplete | record.unsure]
        return record, problems

    def _numbers(self, pair: dict) -> list[int]:
        return self._of_pair[str(key_of(pair.get("id")))]

    def _read_pair(self, row: dict, record: ImageRecord, problems: list[Problem]) -> None:
        name, numbers = _phrase(row), self._numbers(row)
        if row.get("truth") == PSEUDO:
            record.unsure.add(name)
            problems.append(Problem(record.file_name, f"A model settled “{name}” by itself; nobody vouches for it."))
            return
        said = flag_of(row["is_instance_exhaustive"]) if row.get("is_instance_exhaustive") is not None else None
        if said is False or (self._why_silent and not numbers):
            record.incomplete.add(name)
        elif not numbers:
            record.absent = [*dict.fromkeys([*record.absent, name])]
        elif said:
            record.complete.add(name)
        known = {(one.category, one.mask["counts"]) for one in record.instances}
        for number in numbers:
            try:
                instance = read_twice(_instance, row_of(self._annotations[number]), name, record)
            except MaskError as error:
                record.unsure.add(name)
                problems.append(Problem(f"{record.file_name}, annotation no. {number + 1}", str(error)))
                continue
            if (name, instance.mask["counts"]) not in known:
                record.instances.append(instance)


def _phrase(row: dict) -> str:
    value = row.get("text_input") or row.get("noun_phrase")
    return value.strip() if isinstance(value, str) else ""


def _instance(row: dict, name: str, record: ImageRecord) -> Instance:
    size = {"height_px": record.height_px, "width_px": record.width_px}
    if flag_of(row.get("iscrowd")):
        raise MaskError(CROWD)
    if segmentation := row.get("segmentation"):
        if isinstance(segmentation, dict):
            mask = rle_checked(segmentation, **size)
        else:
            mask = polygons_to_rle(polygons_of(segmentation), **size)
        if rle_area(mask) == 0:
            raise MaskError("Its mask has no pixel inside the image.")
        return Instance(name, mask)
    return Instance(name, box_mask(_box_px(row, record), record), coarse=True)


def _box_px(row: dict, record: ImageRecord) -> Any:
    """Boxes are shares of the image's size as published, pixels in some files: none over 1 is a share."""
    box = row.get("bbox")
    if isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) and 0 <= v <= 1 for v in box):
        return [
            box[0] * record.width_px,
            box[1] * record.height_px,
            box[2] * record.width_px,
            box[3] * record.height_px,
        ]
    return box
