"""All annotation documents of a source, and which of its pictures each of them speaks of."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from annotator.common.errors import ImportRefusedError

from .file_lookup import FileLookup
from .formats.coco import CocoDocument, split_named
from .formats.documents import Document, Listed
from .formats.records import MAX_JSON_BYTES, Problem
from .formats.saco import SacoDocument
from .formats.tables import kind_told, tables_read
from .sources import ImportSource

CHUNK_BYTES = 1024 * 1024
REFUSED = {
    "captions": "It holds captions, which say nothing about objects; nothing was taken from it.",
    "panoptic": "It holds panoptic segments, which are not read; export it as instances.",
}


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
    used: set[str] = field(default_factory=set)


def documents_gathered(source: ImportSource) -> Gathered:
    """Read every document's tables and find its pictures among the source's files; no object is read yet."""
    found = Gathered()
    for name in (name for name in source.names if name.lower().endswith(".json")):
        found.used.add(name)
        try:
            if document := _document(source, name, found):
                found.documents.append(document)
        except ImportRefusedError as error:
            found.problems.append(Problem(name, str(error)))
    documents = {document.where for document in found.documents}
    lookup = FileLookup(name for name in source.names if name not in documents)
    for document in found.documents:
        found.problems += [replace(one, where=f"{document.where}: {one.where}") for one in document.problems]
        _locate(document, lookup, found)
    return found


def _document(source: ImportSource, name: str, found: Gathered) -> Document | None:
    tables = tables_read(_content(source, name), where="It")
    kind = kind_told(tables)
    if kind in REFUSED:
        found.problems.append(Problem(name, REFUSED[kind]))
        return None
    return (SacoDocument if kind == "pairs" else CocoDocument)(name, tables, _split(name))


def _content(source: ImportSource, name: str) -> bytes:
    content = bytearray()
    with source.open(name) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            content += chunk
            if len(content) > MAX_JSON_BYTES:
                raise ImportRefusedError(f"It has more than {MAX_JSON_BYTES // 2**20} MB; split the export.")
    return bytes(content)


def _split(name: str) -> str | None:
    """By the folder (Roboflow's train/, valid/) or by the file's last word (instances_val2017.json)."""
    path = PurePosixPath(name)
    return split_named(path.parent.name) or split_named(path.stem.rsplit("_", 1)[-1])


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
