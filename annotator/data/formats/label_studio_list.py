"""A Label Studio export as one document. A task is parsed when it is looked at, and again when it is read: brush masks
are lists of bytes, which as Python numbers take many times their text."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from annotator.common.errors import ImportRefusedError

from . import label_studio
from .documents import Listed, Size
from .label_studio_tasks import annotations_of, image_address, labels_of, regions_of, results_of, size_said, split_said
from .records import MAX_JSON_BYTES, Category, ImageRecord, Problem
from .shapes import NO_LABEL
from .values import why_no_json

MORE_ANNOTATIONS = "It has {} annotations; the one called ground truth, else the newest, counts."


class TaskList:
    """formats/documents.py says what a document is. It judges the labels that somebody used, and no others: an export
    does not name the rest."""

    format = "label_studio"

    def __init__(self, where: str, content: bytes) -> None:
        self.where, self.problems, self.counts = where, list[Problem](), Counter[str]()
        self._named: set[str] = set()
        self.images: list[Listed] = []
        for number, packed in enumerate(_rows(content), start=1):
            try:
                self.images.append(self._listed(packed))
            except ImportRefusedError as error:
                self.problems.append(Problem(f"task no. {number}", str(error)))
        names = sorted({*self.counts, *self._named})
        self.categories: Sequence[Category] = [Category(number, name) for number, name in enumerate(names, start=1)]

    def read(self, listed: Listed, size_px: Size) -> tuple[ImageRecord, list[Problem]]:
        task = msgspec.json.decode(listed.key)
        record, problems = label_studio.read(task, size_px=size_px)
        record.file_name, record.split, record.name = listed.file_name, listed.split, listed.name
        everything = {category.name for category in self.categories}
        record.incomplete &= everything  # choices and flags name other things than classes, too
        if NO_LABEL in record.unsure:  # it may be anything
            record.unsure |= everything
        if (count := len(annotations_of(task))) > 1:
            problems.append(Problem(listed.name, MORE_ANNOTATIONS.format(count)))
        return record, problems

    def _listed(self, packed: msgspec.Raw) -> Listed:
        task = msgspec.json.decode(packed)
        address, results = image_address(task), results_of(task)
        for _, result in regions_of(results):
            self._count(result)
        name = str(task["data"].get("name") or address.split("?d=")[-1].rsplit("/", 1)[-1])
        split = split_said(task)
        return Listed(address, packed, split, name, size_said(results), covered=bool(annotations_of(task)))

    def _count(self, result: dict[str, Any]) -> None:
        kind = str(result.get("type"))
        if kind == "choices" and result.get("from_name") in (label_studio.ABSENT, label_studio.INCOMPLETE):
            self._named |= set(labels_of(result))
        elif kind.endswith("labels") and kind != "keypointlabels":
            self.counts.update(labels_of(result))


def _rows(content: bytes) -> Iterator[msgspec.Raw]:
    """The packed tasks of a list, or the only one of a file that holds one."""
    if len(content) > MAX_JSON_BYTES:
        raise ImportRefusedError(f"It has more than {MAX_JSON_BYTES // 2**20} MB; split the export into parts.")
    text = content.removeprefix(b"\xef\xbb\xbf")
    try:
        yield from msgspec.json.decode(text, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        yield msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ImportRefusedError(f"It {why_no_json(error, text)}") from None
