"""All annotation documents of a source, and which of its pictures each of them speaks of."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .file_lookup import FileLookup
from .formats.documents import Document, Listed, Refused
from .formats.recognise import documents_found
from .formats.records import Problem
from .sources import ImportSource


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

    `used`: files that were read as documents, or refused as such.
    """

    documents: list[Document] = field(default_factory=list)
    words: dict[str, list[Word]] = field(default_factory=lambda: defaultdict(list))
    elsewhere: list[Word] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    used: set[str] = field(default_factory=set)


def documents_gathered(source: ImportSource, on_progress: Callable[[int, int], None] | None = None) -> Gathered:
    """Read every document's tables and find its pictures among the source's files; no object is read yet."""
    read = documents_found(source, on_progress=on_progress)
    found = Gathered(documents=read.documents, refused=read.refused, used=read.used)
    lookup = FileLookup(name for name in source.names if name not in read.used)
    for refused in read.refused:
        found.problems += [Problem(refused.where, refused.why), *refused.problems]
    for document in found.documents:
        found.problems += [replace(one, where=f"{document.where}: {one.where}") for one in document.problems]
        _locate(document, lookup, found)
    return found


def _locate(document: Document, lookup: FileLookup, found: Gathered) -> None:
    matches = lookup.find_all([(document.where, listed.file_name) for listed in document.images])
    for listed, match in zip(document.images, matches, strict=True):
        if isinstance(match, str):
            found.words[match].append(Word(document, listed))
        elif match.contested:
            found.words[match.contested].append(Word(document, listed, in_doubt=True))
            found.problems.append(Problem(listed.file_name, str(match)))
        else:
            found.elsewhere.append(Word(document, listed, why=str(match)))
