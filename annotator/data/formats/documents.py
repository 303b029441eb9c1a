"""What an annotation document looks like to an import, whatever its format: first its table, then image by image.

Reading goes in two steps, because truth is collected over all documents before any of it is stored, and because a mask
needs the picture's real size, which many documents leave out or get wrong.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from .records import Category, ImageRecord, Problem

Size = tuple[int, int]
# The size of a picture as people and models see it, (width, height) in px, by the name the document gives it; None
# where it can't be known.
SizeOf = Callable[[str], Size | None]


@dataclass(frozen=True, slots=True)
class Listed:
    """One image as a document lists it. `key` is the document's own handle; `size_px` what it says of (width, height).

    `covered`: somebody went over this picture for the document's categories, also where it lists no object in it.
    Off where there is a picture but no word about it: an image without a YOLO label file.
    `is_inside`: the document holds the picture itself, which nothing here takes out of it.
    """

    file_name: str
    key: Any
    split: str | None = None
    name: str = ""
    size_px: Size | None = None
    covered: bool = True
    is_inside: bool = False


class Stream(Protocol):
    """As much of an open file as readers need."""

    def read(self, size: int = -1, /) -> bytes: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...


class Files(Protocol):
    """Files by name, with `/` between folders: a folder, a zip, a bucket (annotator/data/sources.py)."""

    names: list[str]

    def open(self, name: str) -> Stream: ...


class Document(Protocol):
    """One annotation document, or one set of files that belong together (a YOLO tree, a folder of LabelMe files).

    `where`: its name in the source. `categories`: the classes that it judges; nothing else may be vouched for by it.
    `counts`: annotations by category, those that can't be read included. `problems`: what was left out so far.
    """

    format: str
    where: str
    categories: Sequence[Category]
    counts: Counter[str]
    problems: list[Problem]

    @property
    def images(self) -> Sequence[Listed]: ...

    def read(self, listed: Listed, size_px: Size) -> tuple[ImageRecord, list[Problem]]:
        """The image's objects, in pixels of `size_px` = (width, height) of the picture as people see it."""
        ...


@dataclass
class Refused:
    """A file that is an annotation document of a kind that nothing can be taken from, and why."""

    where: str
    why: str
    problems: list[Problem] = field(default_factory=list)
