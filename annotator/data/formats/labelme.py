"""LabelMe's JSON, one file an image. Its shapes are read in labelme_shapes.py; it is written in writers/labelme.py.

Image flags tell what its shapes can't: `"no duck": true` a verified negative, `"not all duck": true` that not every
duck is outlined. Source: labelme's label_file.py and shape.py, read for facts.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from annotator.common.errors import ImportRefusedError
from toolbox.pixels import IMAGE_ENDINGS

from .coco import split_named
from .documents import Listed, Size
from .labelme_shapes import objects_of, objects_read, points_of
from .records import Category, ImageRecord, Problem, json_read
from .shapes import NO_LABEL, unfit
from .texts import Texts
from .values import whole_of

NO, NOT_ALL = "no ", "not all "
# A file may carry its picture as base64, too.
MAX_FILE_BYTES = 128 * 1024 * 1024


def read(document: Any, *, size_px: Size | None = None) -> tuple[ImageRecord, list[Problem]]:
    """Its objects in pixels of `size_px` = (width, height) of the picture; else of the size that the file says.

    Of imagePath only the last part counts, and imageData is not looked at. A shape that can't be read is a problem and
    leaves its label unsure.
    """
    checked(document)
    said = size_said(document)
    size = size_px or said
    if size is None:
        raise ImportRefusedError("It does not say its picture's size, and the picture is not here to tell.")
    name = image_name(document)
    image = ImageRecord(name, *size, name=name)
    groups = objects_of(document["shapes"])
    if why_not := unfit(said, size, [point for one in document["shapes"] for point in points_of(one)]):
        image.unsure |= set(labels_of(document))
        return image, [Problem(name, why_not)]
    image.absent, image.incomplete = flagged(document, NO), set(flagged(document, NOT_ALL))
    problems = [Problem(f"{name}, shape {number}", why) for number, why in objects_read(groups, image)]
    image.only_named(flagged(document, ""))
    return image, problems


class LabelMeFolder:
    """The LabelMe files of one folder. They judge the union of their labels (formats/documents.py)."""

    format = "labelme"

    def __init__(self, folder: str, names: Sequence[str], texts: Texts, beside: Iterable[str] = ()) -> None:
        """`names`: the folder's LabelMe files; `beside`: the last parts of all names in it."""
        self.where = f"{folder}/*.json" if folder else "*.json"
        self._texts, self._beside = texts, {name.lower(): name for name in beside}
        self._flagged: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.problems: list[Problem] = []
        self.images = [listed for name in names if (listed := self._listed(name))]
        labels = sorted({*self.counts, *self._flagged} - {NO_LABEL})
        self.categories: Sequence[Category] = [Category(number, label) for number, label in enumerate(labels, start=1)]

    def read(self, listed: Listed, size_px: Size) -> tuple[ImageRecord, list[Problem]]:
        record, problems = read(self._document(listed.key), size_px=size_px)
        record.file_name, record.name, record.split = listed.file_name, listed.name, listed.split
        everything = {category.name for category in self.categories}
        record.incomplete &= everything  # flags name other things than classes, too
        if NO_LABEL in record.unsure:  # it may be anything
            record.unsure |= everything
        return record, problems

    def _listed(self, name: str) -> Listed | None:
        try:
            document = self._document(name)
            said = image_name(document)
        except ImportRefusedError as error:
            self.problems.append(Problem(name, str(error)))
            return None
        self.counts.update(label for label, _ in objects_of(document["shapes"]))
        self._flagged |= {*flagged(document, NO), *flagged(document, NOT_ALL)}
        split = split_named(name.rpartition("/")[0].rsplit("/", 1)[-1])
        path = said if said.lower() in self._beside else self._picture(name, document["imagePath"])
        return Listed(path, name, split, said, size_said(document), is_inside=bool(document.get("imageData")))

    def _document(self, name: str) -> Any:
        return checked(json_read(self._texts.content(name, limit_bytes=MAX_FILE_BYTES), where="It"))

    def _picture(self, name: str, path: str) -> str:
        """Where no picture of imagePath's name lies beside: the one called like the file, as people rename both; else
        the whole path, for whoever looks further."""
        stem = name.rsplit("/", 1)[-1].rpartition(".")[0]
        twins = [self._beside[low] for ending in IMAGE_ENDINGS if (low := f"{stem}{ending}".lower()) in self._beside]
        return twins[0] if len(twins) == 1 else path


def checked(document: Any) -> Any:
    """The document itself; ImportRefusedError where it is no LabelMe file."""
    keys = {"imagePath": str, "shapes": list}
    if not isinstance(document, dict) or any(type(document.get(key)) is not kind for key, kind in keys.items()):
        raise ImportRefusedError(f"This is no LabelMe file: it needs {', '.join(keys)}.")
    return document


def image_name(document: Any) -> str:
    """The last part of imagePath, whichever system wrote it."""
    last = document["imagePath"].replace("\\", "/").rsplit("/", 1)[-1]
    if last in ("", ".", ".."):
        raise ImportRefusedError("Its imagePath names no picture.")
    return last


def size_said(document: Any) -> Size | None:
    """LabelMe 3 wrote none."""
    width, height = whole_of(document.get("imageWidth")), whole_of(document.get("imageHeight"))
    return (width, height) if width and height else None


def labels_of(document: Any) -> list[str]:
    return [label for label, _ in objects_of(document["shapes"])]


def flagged(document: Any, words: str) -> list[str]:
    """The classes of image flags such as `no duck`, that are set."""
    flags = document.get("flags")
    flags = flags if isinstance(flags, dict) else {}
    return [key.removeprefix(words) for key, value in flags.items() if value is True and key.startswith(words)]
