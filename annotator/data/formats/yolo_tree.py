"""A YOLO data set as one document: its names, its label files, and the pictures that belong to them.

Where a label file lies: in the folder `labels` where the picture's is `images` (Ultralytics, Roboflow), or beside the
picture (Darknet, CVAT's obj_train_data). A picture with an empty file was looked at; one without a file was not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from annotator.common.errors import ImportRefusedError
from toolbox.pixels import IMAGE_ENDINGS

from . import yolo
from .coco import split_named
from .documents import Listed, Refused, Size
from .records import Category, ImageRecord, Problem
from .texts import Texts
from .yolo_names import MAX_BYTES, DataFile, data_file_read, is_data_file, plain_names
from .yolo_splits import splits_of

MAX_LABEL_BYTES = 64 * 1024 * 1024
LOOKED_AT = 50  # rows, to tell what kind of labels they are
# By how much each says, the most telling first.
NAME_FILES = ("obj.names", ".names", "_darknet.labels", "classes.txt")
NO_LABELS = {"train.txt", "val.txt", "valid.txt", "test.txt", "requirements.txt", "license.txt"}
NO_NAMES = (
    "These are YOLO labels without their classes' names: put a data.yaml (or classes.txt, obj.names) beside them. "
    "{} label files were left out."
)
POSE = "These are YOLO pose labels ({}): a box and key points tell no outline. {} label files were left out."


@dataclass
class Source:
    """A file of class names, and the folder that it speaks for."""

    where: str
    root: str
    rank: int
    data: DataFile


@dataclass
class Trees:
    documents: list["YoloTree"] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    used: set[str] = field(default_factory=set)


class YoloTree:
    """formats/documents.py says what a document is. Names of pictures are relative to the file of class names."""

    format = "yolo"

    def __init__(self, source: Source, pictures: dict[str, str | None], splits: dict[str, str], texts: Texts) -> None:
        """`pictures`: the label file of each picture, None where there is none; `splits`: that of each picture."""
        self.where, self._names, self._texts = source.where, source.data.names, texts
        self.problems = list(source.data.problems)
        unique = {name: number for number, name in sorted(source.data.names.items(), reverse=True)}
        self.categories: Sequence[Category] = [
            Category(number, name) for name, number in sorted(unique.items(), key=lambda pair: pair[1])
        ]
        self.counts: Counter[str] = Counter()
        self.images = [self._listed(picture, label, splits) for picture, label in sorted(pictures.items())]

    def read(self, listed: Listed, size_px: Size) -> tuple[ImageRecord, list[Problem]]:
        width, height = size_px
        text = self._text(listed.key) if listed.key else ""
        record, problems = yolo.read(
            text, file_name=listed.file_name, width_px=width, height_px=height, names=self._names
        )
        record.split, record.name = listed.split, listed.name
        return record, problems

    def _listed(self, picture: str, label: str | None, splits: dict[str, str]) -> Listed:
        covered = label is not None
        if label is not None:
            try:
                self.counts.update(self._classes(self._text(label)))
            except ImportRefusedError as error:
                self.problems.append(Problem(label, str(error)))
                label, covered = None, False
        name = PurePosixPath(picture).name
        return Listed(_from(self.where, picture), label, splits.get(picture), name, covered=covered)

    def _text(self, label: str) -> str:
        return self._texts.text(label, limit_bytes=MAX_LABEL_BYTES)

    def _classes(self, text: str) -> Iterator[str]:
        for line in text.splitlines():
            if words := line.split(None, 1):
                name = self._names.get(yolo.class_number(words[0]) or 0) if _is_class(words[0]) else None
                yield name or f"class {words[0][:20]}"


def trees_found(names: Sequence[str], texts: Texts) -> Trees:
    """All YOLO trees among the names; label files without names, and pose labels, are refused."""
    found = Trees()
    sources = _sources(names, texts, found)
    candidates = [name for name in names if name.lower().endswith(".txt") and name not in found.used]
    pictures = {name: None for name in names if name.lower().endswith(IMAGE_ENDINGS)}
    labelled = _labelled(pictures, {name for name in candidates if _last(name).lower() not in NO_LABELS})
    for source, members in _by_source(sources, labelled, pictures):
        _add_tree(source, members, names, texts, found)
    roots = [source.root for source in sources]
    _refuse_nameless([one for one in labelled.values() if one and _deepest(one, roots) is None], texts, found)
    return found


def _add_tree(source: Source, members: dict[str, str | None], names: Sequence[str], texts: Texts, found: Trees) -> None:
    labels = [label for label in members.values() if label]
    found.used.add(source.where)
    found.used.update(labels)
    points = source.data.key_points or _key_points(labels, texts)
    if points:
        found.refused.append(Refused(source.where, POSE.format(points, len(labels))))
        return
    splits, lists = splits_of(source.where, source.root, source.data, list(members), names, texts)
    found.used |= lists
    for picture in members:
        if picture not in splits and (split := _split_by_folder(picture)):
            splits[picture] = split
    found.documents.append(YoloTree(source, members, splits, texts))


def _sources(names: Sequence[str], texts: Texts, found: Trees) -> list[Source]:
    """One a folder, the one that says most; those that say otherwise are told."""
    by_root: dict[str, Source] = {}
    for source in sorted(_candidates(names, texts, found), key=lambda one: (one.rank, one.where)):
        kept = by_root.setdefault(source.root, source)
        found.used.add(source.where)
        if kept is not source and kept.data.names != source.data.names:
            why = f"It names other classes than {kept.where}, which counts."
            kept.data.problems.append(Problem(source.where, why))
    data_files = [source for source in by_root.values() if source.rank == 0]
    return [source for source in by_root.values() if source.rank == 0 or not _is_said_above(source, data_files)]


def _is_said_above(source: Source, data_files: list[Source]) -> bool:
    """LabelImg writes classes.txt into every folder of labels; a data.yaml above that says the same makes them one."""
    above = [one for one in data_files if _within(source.root, one.root)]
    return any(one.data.names == source.data.names for one in above)


def _candidates(names: Sequence[str], texts: Texts, found: Trees) -> Iterator[Source]:
    for name in names:
        low = _last(name).lower()
        rank = next((rank for rank, ending in enumerate(NAME_FILES, 1) if low.endswith(ending)), None)
        try:
            if low.endswith((".yaml", ".yml")):
                text = texts.text(name, limit_bytes=MAX_BYTES)
                if is_data_file(text):
                    found.used.add(name)
                    yield Source(name, _parent(name), 0, data_file_read(text))
            elif rank is not None and (low == NAME_FILES[rank - 1] or rank == 2):
                classes = plain_names(texts.text(name, limit_bytes=MAX_BYTES))
                if classes:
                    yield Source(name, _above_labels(_parent(name)), rank, DataFile(classes))
        except ImportRefusedError as error:
            found.used.add(name)
            found.refused.append(Refused(name, str(error)))


def _labelled(pictures: Iterable[str], candidates: set[str]) -> dict[str, str | None]:
    """Each picture's label file, by either rule; label files in a labels folder whose picture is not here as well."""
    found: dict[str, str | None] = {}
    for picture in pictures:
        stem = picture.rpartition(".")[0]
        found[picture] = next((name for name in (_in_labels(stem), f"{stem}.txt") if name in candidates), None)
    taken = {label for label in found.values() if label}
    for label in candidates - taken:
        if _is_label_folder(_parent(label)):
            found[_in_images(label.rpartition(".")[0])] = label
    return found


def _by_source(
    sources: list[Source], labelled: dict[str, str | None], pictures: dict[str, None]
) -> Iterator[tuple[Source, dict[str, str | None]]]:
    """What belongs to each: pictures with labels, and those in the same folders without."""
    roots = [source.root for source in sources]
    if len(sources) == 1 and not any(label and _within(label, roots[0]) for label in labelled.values()):
        sources[0].root = roots[0] = ""  # a data.yaml in a folder of its own speaks for all
    with_labels = {_parent(picture) for picture, label in labelled.items() if label}
    members: dict[str, dict[str, str | None]] = {root: {} for root in roots}
    for picture, label in labelled.items():
        root = _deepest(label or picture, roots)
        if root is not None and (label or (picture in pictures and _parent(picture) in with_labels)):
            members[root][picture] = label
    yield from ((source, members[source.root]) for source in sources if members[source.root])


def _refuse_nameless(labels: list[str], texts: Texts, found: Trees) -> None:
    """Text files beside pictures may be captions; only rows of numbers are YOLO's."""
    for folder, members in _grouped(labels).items():
        rows = _rows(members, texts)
        if rows and all(len(row) >= 5 and all(_is_number(word) for word in row) for row in rows):
            found.used.update(members)
            found.refused.append(Refused(folder or ".", NO_NAMES.format(len(members))))


def _key_points(labels: Sequence[str], texts: Texts) -> str:
    """Pose labels whose data.yaml is lost: every row of one length, and after the box x, y and one of 0, 1, 2."""
    rows = [row for row in _rows(labels, texts) if all(_is_number(word) for word in row)]
    lengths = {len(row) for row in rows}
    if len(rows) < 3 or len(lengths) != 1 or min(lengths) < 8 or (min(lengths) - 5) % 3:
        return ""
    seen = {float(word) for row in rows for word in row[7::3]}
    return "each point has a visibility" if seen <= {0.0, 1.0, 2.0} else ""


def _rows(labels: Sequence[str], texts: Texts) -> list[list[str]]:
    rows: list[list[str]] = []
    for label in labels:
        try:
            text = texts.text(label, limit_bytes=MAX_LABEL_BYTES)
        except ImportRefusedError:
            continue
        rows += [line.split() for line in text.splitlines()[:LOOKED_AT] if line.strip()]
        if len(rows) >= LOOKED_AT:
            break
    return rows


def _grouped(labels: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for label in sorted(labels):
        found.setdefault(_parent(label), []).append(label)
    return found


def _split_by_folder(picture: str) -> str | None:
    folders = reversed(PurePosixPath(picture).parent.parts)
    return next((split for folder in folders if (split := _split_word(folder))), None)


def _split_word(folder: str) -> str | None:
    """CVAT's obj_train_data is a name for train as well."""
    return split_named(folder) or split_named(folder.lower().removeprefix("obj_").removesuffix("_data"))


def _in_labels(stem: str) -> str:
    return _swapped(stem, "images", "labels") + ".txt"


def _in_images(stem: str) -> str:
    return _swapped(stem, "labels", "images")


def _swapped(path: str, folder: str, other: str) -> str:
    """With the last folder of that name called otherwise."""
    parts = path.split("/")
    for at in range(len(parts) - 2, -1, -1):
        if parts[at].lower() == folder:
            return "/".join([*parts[:at], other, *parts[at + 1 :]])
    return path


def _above_labels(folder: str) -> str:
    parts = folder.split("/")
    low = [part.lower() for part in parts]
    return "/".join(parts[: low.index("labels")]) if "labels" in low else folder


def _is_label_folder(folder: str) -> bool:
    parts = folder.lower().split("/")
    return "labels" in parts or (parts[-1].startswith("obj_") and parts[-1].endswith("_data"))


def _deepest(name: str, roots: Sequence[str]) -> str | None:
    return max((root for root in roots if _within(name, root)), key=len, default=None)


def _within(name: str, root: str) -> bool:
    return not root or name.startswith(f"{root}/")


def _from(where: str, name: str) -> str:
    """As written beside `where`."""
    folder = _parent(where)
    return name.removeprefix(f"{folder}/") if folder else name


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _is_class(word: str) -> bool:
    return yolo.class_number(word) is not None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
