"""All annotation documents of a source, and which of its pictures each of them speaks of."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .file_lookup import NO_SUCH_FILE, FileLookup, FileUnclearError
from .formats.documents import Document, Listed, Refused
from .formats.negatives import Negatives, PictureList
from .formats.recognise import documents_found
from .formats.records import Problem
from .sources import ImportSource

NOWHERE = "It is said to be a negative, and neither these files nor the project have one picture that is called so."

INSIDE = (
    "No such file is in the export: the picture is inside the annotation file (imageData), where it is not read. "
    "Save it as a file of this name beside it."
)


@dataclass(frozen=True)
class Word:
    """That a document lists a picture. `in_doubt`: it may mean this one or another; its objects are not placed.

    `why`: of a picture that the source does not hold, what the look-up said.
    """

    document: Document
    listed: Listed
    in_doubt: bool = False
    why: str = ""


@dataclass
class Gathered:
    """`words`: by file of the source, all documents' words about it; `elsewhere`: about pictures it does not hold.

    `used`: files that were read as documents, or refused as such. `lists`: of pictures that may be negatives.
    """

    documents: list[Document] = field(default_factory=list)
    words: dict[str, list[Word]] = field(default_factory=lambda: defaultdict(list))
    elsewhere: list[Word] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    lists: list[PictureList] = field(default_factory=list)


def names_elsewhere(gathered: Gathered) -> list[list[str]]:
    """By document, how it names pictures that the source does not hold."""
    names: dict[int, list[str]] = defaultdict(list)
    for word in gathered.elsewhere:
        names[id(word.document)].append(word.listed.file_name)
    return list(names.values())


def documents_gathered(source: ImportSource, on_progress: Callable[[int, int], None] | None = None) -> Gathered:
    """Read every document's tables and find its pictures among the source's files; no object is read yet."""
    read = documents_found(source, on_progress=on_progress)
    found = Gathered(documents=read.documents, refused=read.refused, used=read.used, lists=read.lists)
    lookup = FileLookup(name for name in source.names if name not in read.used)
    for refused in read.refused:
        found.problems += [Problem(refused.where, refused.why), *refused.problems]
    for document in found.documents:
        found.problems += [replace(one, where=f"{document.where}: {one.where}") for one in document.problems]
        document_located(document, lookup, found)
    return found


def document_located(document: Document, lookup: FileLookup, found: Gathered) -> None:
    is_negatives = isinstance(document, Negatives)
    matches = lookup.find_all([(document.where, listed.file_name) for listed in document.images])
    for listed, match in zip(document.images, matches, strict=True):
        if isinstance(match, str):
            found.words[match].append(Word(document, listed))
        elif is_negatives and str(match) != NO_SUCH_FILE:
            # A negative that may mean another picture says nothing; objects that may be of another leave this one open.
            found.problems.append(Problem(listed.file_name, str(match)))
        elif match.contested:
            found.words[match.contested].append(Word(document, listed, in_doubt=True))
            found.problems.append(Problem(listed.file_name, str(match)))
        else:
            found.elsewhere.append(
                Word(document, listed, why=NOWHERE if is_negatives else _why_elsewhere(listed, match))
            )


def _why_elsewhere(listed: Listed, match: FileUnclearError) -> str:
    return INSIDE if listed.is_inside and str(match) == NO_SUCH_FILE else str(match)
