"""Verified negatives: pictures of which a person says that they show none of a named concept.

Either whole folders, or a list: a picture's name a line, or a table (CSV) with a column of names and one of concepts. A
table says by itself what it is only where a column is called so (`absent`, `negative_of`), or where its columns are
`file_name` and `concept` and its own name says negatives; what says less is offered to a person and never assumed. Such
tables are written for what *is* in a picture as well.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from annotator.common.errors import ImportRefusedError
from toolbox.pixels import IMAGE_ENDINGS

from .documents import Listed, Size
from .negative_names import negative_name
from .records import Category, ImageRecord, Problem

MAX_LIST_BYTES = 64 * 1024 * 1024
SNIFFED = 20
SPLIT_LISTS = {"train.txt", "val.txt", "valid.txt", "test.txt"}
ENDINGS = (".csv", ".tsv", ".txt")
FILE_COLUMNS = {"file name", "filename", "file", "image", "image name", "image path", "picture", "path", "file path"}
ABSENT_COLUMNS = {"absent", "negative", "negative of", "not there", "verified absent", "verified negative"}
CONCEPT_COLUMNS = {"concept", "concepts", "noun phrase"}
# Said of the row, not of what is in the picture.
OTHER_COLUMNS = {"note", "notes", "comment", "by", "verified by", "date", "verified at"}
YES_OR_NO = {"0", "1", "true", "false", "yes", "no", "y", "n", "0.0", "1.0"}
NOT_A_LIST = "It is no list of verified negatives: a picture's name a line, or the columns file_name and concept."
OFFERED_LIST = (
    "It lists pictures. If they are verified negatives, say so, and of which concept; nothing was made of it."
)
UNKNOWN_COLUMNS = (
    "Its columns {} could say anything. A list of verified negatives has file_name and concept, and nothing else."
)


@dataclass
class PictureList:
    """`rows`: (picture's name, what is not there or ""). `states`: it says by itself that these are negatives.

    `named`: what its own name says not to be there, "" for nothing in particular. `has_concepts`: a column names them.
    """

    where: str
    rows: list[tuple[str, str]] = field(default_factory=list)
    states: bool = False
    named: str = ""
    has_concepts: bool = False
    problems: list[Problem] = field(default_factory=list)


class Negatives:
    """formats/documents.py says what a document is. This one outlines nothing, and speaks for named pictures alone."""

    format = "negatives"

    def __init__(self, where: str, said: Mapping[str, Iterable[str]], problems: Sequence[Problem] = ()) -> None:
        """`said`: for each picture, what is not there."""
        self.where, self.problems = where, list(problems)
        self._said = {picture: list(dict.fromkeys(names)) for picture, names in said.items()}
        self.statements = Counter(name for names in self._said.values() for name in names)
        self.categories: Sequence[Category] = [Category(n, name) for n, name in enumerate(self.statements, start=1)]
        self.counts: Counter[str] = Counter()
        # Not covered: of one concept in one picture nothing follows for the list's other concepts.
        self.images = [Listed(picture, picture, covered=False) for picture in self._said]

    def read(self, listed: Listed, size_px: Size) -> tuple[ImageRecord, list[Problem]]:
        names = self._said[listed.key]
        return ImageRecord(listed.file_name, *size_px, absent=list(names), none_of=set(names)), []


class NamedFolders:
    """Folders that are called as what their pictures show: no truth, but enough to doubt a negative."""

    format = "folder names"

    def __init__(self, said: Mapping[str, Iterable[str]]) -> None:
        self.where, self.problems = "", list[Problem]()
        self._said = {picture: set(names) for picture, names in said.items()}
        names = dict.fromkeys(name for of_one in self._said.values() for name in of_one)
        self.categories: Sequence[Category] = [Category(n, name) for n, name in enumerate(names, start=1)]
        self.counts: Counter[str] = Counter()
        self.images = [Listed(picture, picture, covered=False) for picture in self._said]

    def read(self, listed: Listed, size_px: Size) -> tuple[ImageRecord, list[Problem]]:
        return ImageRecord(listed.file_name, *size_px, hinted=set(self._said[listed.key])), []


def document_of(found: PictureList, names: Sequence[str] = ()) -> Negatives:
    """`names`: what is not there where the list itself does not say."""
    said: dict[str, list[str]] = {}
    problems = list(found.problems)
    for number, (picture, concept) in enumerate(found.rows, start=1):
        told = [concept] if concept else list(names)
        if not told:
            problems.append(Problem(f"{picture} (row {number})", "It names no concept."))
        said.setdefault(picture, []).extend(told)
    return Negatives(found.where, {picture: told for picture, told in said.items() if told}, problems)


def list_found(where: str, text: str) -> PictureList | None:
    """The list that this file seems to be; None where it is something else.

    ImportRefusedError where its name says negatives and the rest of it can't be understood.
    """
    path = PurePosixPath(where)
    if path.name.lower() in SPLIT_LISTS:
        return None
    named = negative_name(path.stem)
    try:
        found = list_read(where, text)
    except ImportRefusedError:
        if named is not None:
            raise
        return None
    if not found.has_concepts and named is None and not _are_pictures(name for name, _ in found.rows[:SNIFFED]):
        return None
    return found


def list_read(where: str, text: str) -> PictureList:
    """A file that somebody calls a list of negatives; ImportRefusedError where it can't be one."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    named = negative_name(PurePosixPath(where).stem)
    found = PictureList(where, named=named or "")
    if not lines:
        raise ImportRefusedError("It is empty.")
    header = _header(lines[0][1])
    if header is None:
        _add_names(lines, found)
        return found
    delimiter, columns = header
    file_at, concept_at = _columns(columns)
    found.has_concepts = concept_at is not None
    said = found.has_concepts and columns[concept_at or 0] in ABSENT_COLUMNS
    found.states = bool(said or (found.has_concepts and named is not None))
    for number, row in _rows(text, delimiter):
        _add_row(number, row, file_at, concept_at, found)
    return found


def _header(line: str) -> tuple[str, list[str]] | None:
    """(what is between the cells, the columns' names); None where the first line is no header."""
    for delimiter in (",", ";", "\t"):
        cells = [" ".join(cell.lower().replace("_", " ").replace("-", " ").split()) for cell in _cells(line, delimiter)]
        if FILE_COLUMNS & set(cells):
            return delimiter, cells
    if len(_cells(line, ",")) > 1 and not line.lower().endswith(IMAGE_ENDINGS):
        raise ImportRefusedError(NOT_A_LIST)
    return None


def _columns(columns: list[str]) -> tuple[int, int | None]:
    """Where the picture's name is, and the concept's; refused where a column might say that it *is* there."""
    unknown = [one for one in columns if one not in FILE_COLUMNS | ABSENT_COLUMNS | CONCEPT_COLUMNS | OTHER_COLUMNS]
    said = [number for number, one in enumerate(columns) if one in ABSENT_COLUMNS | CONCEPT_COLUMNS]
    files = [number for number, one in enumerate(columns) if one in FILE_COLUMNS]
    if unknown or len(said) > 1 or len(files) > 1:
        raise ImportRefusedError(UNKNOWN_COLUMNS.format(", ".join(columns)[:200]))
    return files[0], said[0] if said else None


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _rows(text: str, delimiter: str) -> Iterable[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        rows = ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))
        next(rows, None)  # the header
        yield from rows
    except csv.Error as error:
        raise ImportRefusedError(f"It is no CSV that can be read: {error}.") from None


def _add_names(lines: Iterable[tuple[int, str]], found: PictureList) -> None:
    found.rows += [(line, "") for _, line in lines]


def _add_row(number: int, row: list[str], file_at: int, concept_at: int | None, found: PictureList) -> None:
    where = f"{found.where}, line {number}"
    picture = row[file_at].strip() if file_at < len(row) else ""
    told = row[concept_at].strip() if concept_at is not None and concept_at < len(row) else ""
    if not picture:
        found.problems.append(Problem(where, "The line names no picture."))
    elif concept_at is None:
        found.rows.append((picture, ""))
    elif told.lower() in YES_OR_NO:
        found.problems.append(Problem(where, "The line says yes or no, and not of which concept."))
    elif names := [part.strip() for part in told.replace("|", ";").split(";") if part.strip()]:
        found.rows += [(picture, name) for name in names]
    else:
        found.problems.append(Problem(where, "The line names no concept."))


def _are_pictures(names: Iterable[str]) -> bool:
    told = list(names)
    return bool(told) and all(name.lower().endswith(IMAGE_ENDINGS) or _is_hash(name) for name in told)


def _is_hash(name: str) -> bool:
    return len(name) == 64 and all(one in "0123456789abcdef" for one in name.lower())
