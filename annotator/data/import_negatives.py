"""Verified negatives among what is imported: what a person vouches for, what lists say, and what is only offered.

A folder's or file's name is a hint: it is offered, and counts once a person has said so.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotator.common.errors import ImportRefusedError
from annotator.concepts.selectors import plain_name, plain_singular
from toolbox.pixels import IMAGE_ENDINGS

from .file_lookup import FileLookup
from .formats.documents import Document, Listed
from .formats.negative_names import folders_proposed, negative_name
from .formats.negatives import (
    MAX_LIST_BYTES,
    OFFERED_LIST,
    NamedFolders,
    Negatives,
    PictureList,
    document_of,
    list_read,
)
from .formats.records import Problem
from .formats.texts import Texts
from .import_documents import Gathered, Word, document_located
from .sources import ImportSource

WHOLE = "all pictures"
OFFERED = "Its name says that it holds negatives. Nobody vouched for it, so nothing was made of that."
NOT_THERE = "There is no folder and no list «{}» among these files, so it can't be negatives of anything."


@dataclass(frozen=True)
class NegativeWishes:
    """What the importer says. `negative_of`: concepts that no picture shows; of a source without pictures, none that
    its lists name. `negatives`: {folder or list: concepts that none of its pictures shows, or [] as the list says}.
    """

    negative_of: Sequence[str] = ()
    negatives: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "NegativeWishes":
        return cls(params.get("negative_of", ()), params.get("negatives", {}))


@dataclass(frozen=True)
class Offer:
    """What may be negatives. `concept`: of what, as its name says; "" where it does not say or a column does."""

    where: str
    kind: str
    pictures: tuple[str, ...]
    concept: str = ""
    concepts: tuple[str, ...] = ()

    @property
    def left_out(self) -> Problem:
        """How an import tells it that nobody took up."""
        return Problem(self.where, OFFERED if self.kind == "folder" else OFFERED_LIST)


def negatives_gathered(
    source: ImportSource, gathered: Gathered, wishes: NegativeWishes, *, only_listed: bool = False
) -> list[Offer]:
    """Add what is vouched for to what documents say; what is left to be offered.

    `only_listed`: of the source's pictures, just those that documents list are imported.
    """
    pictures = [name for name in source.names if name.lower().endswith(IMAGE_ENDINGS) and name not in gathered.used]
    lists = {one.where: one for one in gathered.lists}
    said = {where.strip("/"): list(names) for where, names in wishes.negatives.items()}
    if wishes.negative_of and not pictures:
        said |= {one.where: list(wishes.negative_of) for one in gathered.lists if one.where not in said}
    for where, names in said.items():
        _add(where, names, pictures, _list_named(where, source, lists), gathered)
    if wishes.negative_of and pictures:
        taken = set(gathered.words) if only_listed else {*gathered.words, *pictures}
        _add_folder(WHOLE, list(wishes.negative_of), sorted(taken), gathered)
    _add_hints(pictures, gathered)
    lists_left = [one for one in gathered.lists if one.where not in said]
    return _offers(pictures, lists_left, {**said, **({"": wishes.negative_of} if wishes.negative_of else {})}, gathered)


def negatives_of(gathered: Gathered) -> list[Negatives]:
    return [one for one in gathered.documents if isinstance(one, Negatives)]


def _list_named(where: str, source: ImportSource, lists: Mapping[str, PictureList]) -> PictureList | None:
    """Whoever names a file says that it is a list; it need not look like one."""
    if where in lists or where not in source.names or where.lower().endswith(IMAGE_ENDINGS):
        return lists.get(where)
    try:
        return list_read(where, Texts(source).text(where, limit_bytes=MAX_LIST_BYTES))
    except ImportRefusedError as error:
        raise ImportRefusedError(f"{where}: {error}") from None


def _add(where: str, names: list[str], pictures: list[str], listed: PictureList | None, gathered: Gathered) -> None:
    inside = [name for name in pictures if name.startswith(f"{where}/") or name == where]
    if listed:
        gathered.used.add(where)
        gathered.refused = [one for one in gathered.refused if one.where != where]
        gathered.problems = [one for one in gathered.problems if one.where != where]
        stated = [one for one in negatives_of(gathered) if one.where == where]
        if stated and not names:
            return
        _add_list(document_of(listed, names or _by_name(listed)), pictures, gathered)
    elif inside:
        told = names or [one for one in (negative_name(where.rpartition("/")[2]),) if one]
        if not told:
            raise ImportRefusedError(f"Say of which concept {where} holds negatives.")
        _add_folder(where, told, inside, gathered)
    else:
        raise ImportRefusedError(NOT_THERE.format(where[:200]))


def _by_name(listed: PictureList) -> list[str]:
    return [listed.named] if listed.named else []


def _add_list(document: Negatives, pictures: list[str], gathered: Gathered) -> None:
    gathered.documents.append(document)
    gathered.problems += document.problems
    document_located(document, FileLookup(pictures), gathered)


def _add_folder(where: str, names: list[str], pictures: Iterable[str], gathered: Gathered) -> None:
    _add_document(Negatives(where, {picture: names for picture in pictures}), gathered)


def _add_document(document: Document, gathered: Gathered) -> None:
    """Its pictures are the source's own names."""
    gathered.documents.append(document)
    for listed in document.images:
        gathered.words[listed.file_name].append(Word(document, Listed(listed.file_name, listed.key, covered=False)))


def _add_hints(pictures: list[str], gathered: Gathered) -> None:
    """Pictures in a folder called as what negatives are told of: a person's word against a folder's name."""
    wanted = {plain_name(name): name for one in negatives_of(gathered) for name in one.statements}
    by_folder: dict[str, list[str]] = {}
    said: dict[str, list[str]] = defaultdict(list)
    for picture in pictures if wanted else ():
        folder = picture.rpartition("/")[0]
        if folder not in by_folder:
            by_folder[folder] = [name for part in folder.split("/") for name in _called(part, wanted)]
        if by_folder[folder]:
            said[picture] = by_folder[folder]
    if said:
        _add_document(NamedFolders(said), gathered)


def _called(part: str, wanted: Mapping[str, str]) -> list[str]:
    """A folder's name in another number is the same word: chickens is chicken."""
    return [name for plain, name in wanted.items() if plain_singular(plain) == plain_singular(plain_name(part))]


def _offers(
    pictures: list[str], lists: Sequence[PictureList], said: Mapping[str, Sequence[str]], gathered: Gathered
) -> list[Offer]:
    """Folders and lists that nobody has said anything about yet."""
    members: dict[str, list[str]] = {}
    named = {where: told for where, told in folders_proposed(pictures).items() if not _is_said(where, told, said)}
    for picture in pictures:
        parts = picture.split("/")
        for depth in range(1, len(parts)):
            if (folder := "/".join(parts[:depth])) in named:
                members.setdefault(folder, []).append(picture)
                break
    found = [Offer(folder, "folder", tuple(inside), named[folder]) for folder, inside in members.items()]
    for one in lists:
        names = tuple(dict.fromkeys(name for name, _ in one.rows))
        concepts = tuple(dict.fromkeys(concept for _, concept in one.rows if concept))
        found.append(Offer(one.where, "list", names, one.named, concepts))
        gathered.problems += one.problems
    return found


def _is_said(folder: str, told: str, said: Mapping[str, Sequence[str]]) -> bool:
    """Whether somebody spoke for the folder, or, of what its name says, for all pictures."""
    whole = {plain_name(name) for name in said.get("", ())}
    if whole and (not told or plain_name(told) in whole):
        return True
    return any(where and (folder == where or folder.startswith(f"{where}/")) for where in said)
