"""Annotation files of one format -> another, and a look at what is in them: files in, files out, no database.

A conversion says no more than the files do. Where the other format takes what is not labelled for background, or a pair
for whole, somebody has to vouch for that.
"""

import hashlib
import io
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from annotator.common.errors import ImportRefusedError, RoostError
from toolbox.pixels import FORMATS, size_upright

from .export_layouts import LAYOUTS
from .export_pictures import upright_bytes
from .formats.documents import Document, Size
from .formats.negatives import OFFERED_LIST, Negatives
from .formats.records import Category, ImageRecord, Problem, UniqueNames
from .import_documents import Gathered, Word, documents_gathered
from .sources import ImportSource, source_opened
from .verdicts import Classes, Mention, Vouch, verdicts_of
from .writers.parts import Row, Wishes

HEAD_BYTES = 256 * 1024
EXAMPLES = 3
DEFAULT_SPLIT = "train"
BACKGROUND = (
    "In YOLO's files what is not labelled is background. Say --exhaustive if everything of all classes is labelled in "
    "these files."
)


@dataclass(frozen=True)
class Wish:
    """`only`: a format, or "" for all. `boxes`: objects of which only a box is known are written as filled boxes."""

    only: str = ""
    vouch: Vouch = field(default_factory=Vouch)
    boxes: bool = False


@dataclass
class Report:
    """What was found, and what was left out and why; `refused` are whole documents."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    written: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "refused": [{"where": one.where, "why": one.why} for one in self.refused],
            "problems": grouped(self.problems),
            "counts": dict(self.counts),
            "notes": self.written,
        }


def grouped(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Equal reasons once, with how many there are and the first few places."""
    places: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        places[problem.why].append(problem.where)
    rows = [{"why": why, "count": len(where), "where": where[:EXAMPLES]} for why, where in places.items()]
    return sorted(rows, key=lambda row: -int(str(row["count"])))


def files_checked(where: str, *, wish: Wish) -> Report:
    """Read everything as an import would, and keep nothing. ImportRefusedError where `where` can't be opened."""
    with source_opened(where) as source:
        gathered, report = _gathered(source, wish)
        for name, words in sorted(gathered.words.items()):
            _read(source, name, words, report)
        for word in gathered.elsewhere:
            _read_elsewhere(word, report)
    return report


def files_converted(where: str, target: Path, *, to: str, wish: Wish) -> Report:
    """Write the files, pictures included, into a folder that is new or empty; RoostError says what is in the way."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RoostError(f"{target} is there already; name a folder that is new or empty.")
    with source_opened(where) as source, tempfile.TemporaryDirectory() as spool:
        gathered, report = _gathered(source, wish)
        if (
            to.startswith("yolo")
            and not wish.vouch.exhaustive
            and any(document.format != "yolo" for document in gathered.documents)
        ):
            raise RoostError(BACKGROUND)
        if not gathered.words:
            raise RoostError("There is nothing to convert: no document's pictures are among the files.")
        _Conversion(source, gathered, report, target, Path(spool), to, wish).write()
        report.problems += [Problem(word.listed.file_name, word.why) for word in gathered.elsewhere]
    return report


class _Conversion:
    def __init__(
        self,
        source: ImportSource,
        gathered: Gathered,
        report: Report,
        target: Path,
        spool: Path,
        to: str,
        wish: Wish,
    ) -> None:
        self._source, self._gathered, self._report, self._to, self._wish = source, gathered, report, to, wish
        self._out, self._layout = FolderOut(target), LAYOUTS[to]
        names = dict.fromkeys(one.name for document in gathered.documents for one in document.categories)
        self._categories = [Category(number, name) for number, name in enumerate(names, start=1)]
        self._writer = self._layout.writer(self._categories, self._out, spool, Wishes())
        self._keeps_boxes = wish.boxes or to == "yolo_detect"

    def write(self) -> None:
        names, number, instance = UniqueNames(), 0, 0
        for name in sorted(self._gathered.words):
            record = self._record(name, self._gathered.words[name])
            if record is None:
                continue
            number += 1
            row = Row(number, instance + 1, self._picture_hash(name), names.taken(name), record)
            self._writer.add(row)
            self._copy(name, self._writer.picture_path(row))
            instance += len(record.instances)
            self._report.counts.update(images=1, instances=len(record.instances), negatives=len(record.absent))
        self._report.written = self._writer.finish()

    def _record(self, name: str, words: list[Word]) -> ImageRecord | None:
        """None for a picture that the format can't carry without saying more than is known."""
        mentions = _read(self._source, name, words, self._report)
        if not mentions:
            return None
        first = mentions[0].record
        split = next((one.listed.split for one in mentions if one.listed.split), None) or DEFAULT_SPLIT
        record = ImageRecord(name, first.width_px, first.height_px, split, first.name or name)
        classes = Classes({one.name: one.name for one in self._categories})
        for category, verdict in verdicts_of(mentions, classes, self._wish.vouch).items():
            if verdict.truth == "absent":
                record.absent.append(category)
                continue
            kept = [one for one in verdict.instances if self._keeps_boxes or not one.coarse]
            record.instances += kept
            self._report.counts["boxes_left_out"] += len(verdict.instances) - len(kept)
            claimed = self._layout.by_pair and not verdict.is_exhaustive
            if claimed or len(kept) < len(verdict.instances) or _says_more(mentions, category):
                record.incomplete.add(category)
        return record if self._tells(record, mentions) else None

    def _tells(self, record: ImageRecord, mentions: list[Mention]) -> bool:
        if self._layout.tells_open:
            return True
        if record.incomplete:
            why = f"{self._layout.words} can't say that not everything is labelled; the picture was left out."
        elif not any(mention.listed.covered for mention in mentions):
            why = f"Nobody looked at it, which {self._layout.words} can't say; the picture was left out."
        else:
            return True
        self._report.problems.append(Problem(record.file_name, why))
        return False

    def _picture_hash(self, name: str) -> str:
        digest = hashlib.sha256()
        with self._source.open(name) as stream:
            while chunk := stream.read(1024 * 1024):
                digest.update(chunk)
        return digest.hexdigest()

    def _copy(self, name: str, path: str) -> None:
        with self._source.open(name) as stream:
            self._out.pieces(path, iter(lambda: stream.read(1024 * 1024), b""))
        if upright := upright_bytes(self._out.root / path):
            self._out.pieces(path, iter([upright]))


class FolderOut:
    """Where writers write to (writers/parts.py): a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def text(self, path: str, text: str) -> None:
        self.pieces(path, iter([text.encode()]))

    def pieces(self, path: str, pieces: Iterator[bytes]) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(_Pieces(pieces), file)


class _Pieces:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _size: int = -1) -> bytes:
        return next(self._pieces, b"")


def _gathered(source: ImportSource, wish: Wish) -> tuple[Gathered, Report]:
    gathered, report = documents_gathered(source), Report()
    if wish.only:
        gathered = _only(gathered, wish.only)
    report.refused = [Problem(one.where, one.why) for one in gathered.refused]
    unsaid = [Problem(one.where, OFFERED_LIST) for one in gathered.lists]
    report.problems = [*source.problems, *gathered.problems, *unsaid]
    report.documents = [_described(document) for document in gathered.documents]
    return gathered, report


def _only(gathered: Gathered, wanted: str) -> Gathered:
    kept = Gathered(used=gathered.used, problems=gathered.problems, refused=gathered.refused)
    kept.documents = [one for one in gathered.documents if one.format == wanted]
    for name, words in gathered.words.items():
        if of_kind := [word for word in words if word.document.format == wanted]:
            kept.words[name] = of_kind
    kept.elsewhere = [word for word in gathered.elsewhere if word.document.format == wanted]
    return kept


def _described(document: Document) -> dict[str, Any]:
    classes = {one.name: document.counts.get(one.name, 0) for one in document.categories}
    if isinstance(document, Negatives):
        classes = {f"no {name}": count for name, count in document.statements.items()}
    return {"where": document.where, "format": document.format, "images": len(document.images), "classes": classes}


def _read(source: ImportSource, name: str, words: list[Word], report: Report) -> list[Mention]:
    try:
        size = _size(source, name)
    except ImportRefusedError as error:
        report.problems.append(Problem(name, str(error)))
        return []
    mentions = []
    for word in words:
        record, problems = word.document.read(word.listed, size)
        if word.in_doubt:
            record.unsure |= {one.name for one in word.document.categories}
            record.instances, record.absent = [], []
        report.problems += problems
        judged = frozenset(one.name for one in word.document.categories)
        mentions.append(Mention(word.listed, record, judged))
    return mentions


def _read_elsewhere(word: Word, report: Report) -> None:
    """A picture that is not here: what can be read at the size that the document says."""
    report.counts["pictures_missing"] += 1
    report.problems.append(Problem(word.listed.file_name, word.why))
    if word.listed.size_px:
        _, problems = word.document.read(word.listed, word.listed.size_px)
        report.problems += problems


def _size(source: ImportSource, name: str) -> Size:
    """Upright, by the picture's header; of a JPEG the beginning is enough."""
    with source.open(name) as stream:
        head = stream.read(HEAD_BYTES)
        try:
            return _size_of(head, ("JPEG",))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            pieces = [head, *iter(lambda: stream.read(1024 * 1024), b"")]
    try:
        return _size_of(b"".join(pieces), FORMATS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImportRefusedError(f"It is no picture that can be read: {error}.") from None


def _size_of(content: bytes, formats: tuple[str, ...]) -> Size:
    with Image.open(io.BytesIO(content), formats=formats) as image:
        return size_upright(image)


def _says_more(mentions: list[Mention], category: str) -> bool:
    return any(category in mention.record.incomplete | mention.record.unsure for mention in mentions)
