"""What every format is read into and written from. Plain values: no Django, no files."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from annotator.common.errors import ImportRefusedError
from annotator.common.masks import Rle

MAX_JSON_BYTES = 512 * 1024 * 1024

# In our own SA-Co documents the `truth` of a pair that a model settled by itself, and the `origin` of its masks.
PSEUDO = "pseudo"


@dataclass(frozen=True)
class Instance:
    """One object: its category's name and its mask in pixels of the whole image.

    `coarse`: the mask is only the box that the document gave; it waits for a person, and is never truth.
    """

    category: str
    mask: Rle
    coarse: bool = False


@dataclass
class ImageRecord:
    """One image and what is known of it.

    `absent`: categories that a person verified not to be there. `unsure`: categories some of whose instances could
    not be read, so that the others are not all there is. `complete`, `incomplete`: categories of which the document
    itself says that every instance is outlined, or that not. Any other category is unknown, never a negative.
    `none_of`: of `absent`, what a person says of the thing itself and not of a class of annotations. `hinted`: what may
    be there by a folder's name, which tells nothing but contradicts `none_of`.
    """

    file_name: str
    width_px: int
    height_px: int
    split: str | None = None
    name: str = ""
    instances: list[Instance] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)
    complete: set[str] = field(default_factory=set)
    incomplete: set[str] = field(default_factory=set)
    none_of: set[str] = field(default_factory=set)
    hinted: set[str] = field(default_factory=set)

    def only_named(self, names: Iterable[str]) -> None:
        """Something other than an outline says that these are in the picture: a tag, a point, another annotator."""
        self.incomplete |= set(names) - {instance.category for instance in self.instances}

    def masks_of(self, category: str) -> list[Rle]:
        return [instance.mask for instance in self.instances if instance.category == category]


@dataclass(frozen=True)
class Category:
    id: int
    name: str
    supercategory: str = ""


@dataclass(frozen=True)
class Problem:
    """Something that was left out, and why."""

    where: str
    why: str


@dataclass
class Dataset:
    categories: list[Category] = field(default_factory=list)
    images: list[ImageRecord] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def json_read(content: bytes, *, where: str) -> Any:
    """Strict JSON in UTF-8; ImportRefusedError names the file. NaN and bottomless nesting are refused."""
    if len(content) > MAX_JSON_BYTES:
        raise ImportRefusedError(f"{where} has more than {MAX_JSON_BYTES // 2**20} MB; split the export into parts.")
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise ImportRefusedError(f"{where} is not UTF-8 text; export it again as UTF-8 JSON.") from None
    except RecursionError:
        raise ImportRefusedError(f"{where} is nested too deeply to be an export.") from None
    except ValueError as error:
        raise ImportRefusedError(f"{where} is not valid JSON: {error}.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


class UniqueNames:
    """A safe file name for each image, near to its own, and unique even without its ending and letter case."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def taken(self, name: str) -> str:
        stem, _, ending = safe_name(name).rpartition(".")
        stem, ending = (stem, f".{ending}") if stem else (ending, "")
        free, number = stem, self._taken.get(stem.lower(), 1)
        while free.lower() in self._taken:
            number += 1
            free = f"{stem}-{number}"
        self._taken[stem.lower()] = number
        self._taken.setdefault(free.lower(), 1)
        return f"{free}{ending}"


def safe_name(name: str) -> str:
    """The last part of a name, with nothing in it that a file system or a shell could take for more than a name."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(character if character.isalnum() or character in "._-" else "_" for character in last)
    return kept.lstrip(".-")[-100:] or "image"
