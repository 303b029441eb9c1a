"""All annotation documents among some files, whatever their formats, each told by its contents and not by its name."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from annotator.common.errors import ImportRefusedError

from .coco import CocoDocument, split_named
from .cvat import CvatXml
from .documents import Document, Files, Refused
from .label_studio_list import TaskList
from .labelme import LabelMeFolder
from .negatives import ENDINGS as LISTS
from .negatives import MAX_LIST_BYTES, PictureList, document_of, list_found
from .saco import SacoDocument
from .sniff import UNKNOWN_JSON, json_kind, xml_kind
from .tables import kind_told, tables_read
from .texts import Texts
from .yolo_tree import trees_found

OTHERS = {
    ".csv": "Annotations as CSV are not read. Export COCO or YOLO instead.",
    ".jsonl": "Annotations as JSON lines are not read. Export COCO or YOLO instead.",
    ".tfrecord": "TFRecord is not read. Export COCO or YOLO instead.",
}
MOST_LISTS = 100  # text files that are looked at for names of pictures
NO_TRUTH = {
    "captions": "It has captions, no outlines: nothing is taken from it, and nothing is absent because of it.",
    "panoptic": "It is panoptic: its masks are pictures, which are not read. Take the document of instances.",
}


@dataclass
class Found:
    """`used`: names of all files that were taken as annotations or as what goes with them; they are no pictures.

    `lists`: lists of pictures that do not say by themselves that these are negatives.
    """

    documents: list[Document] = field(default_factory=list)
    lists: list[PictureList] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    used: set[str] = field(default_factory=set)


def documents_found(files: Files, *, on_progress: Callable[[int, int], None] | None = None) -> Found:
    """What is no document that can be read is refused by name; files that are no annotations at all are left alone.

    `on_progress` is told (how many files were looked at, of how many).
    """
    texts, found = Texts(files), Found()
    labelme: dict[str, list[str]] = defaultdict(list)
    looked = [name for name in files.names if name.lower().endswith((".json", ".xml", *OTHERS))]
    for number, name in enumerate(looked, start=1):
        found.used.add(name)
        try:
            _look_at(name, texts, found, labelme)
        except ImportRefusedError as error:
            found.refused.append(Refused(name, str(error)))
        if on_progress is not None:
            on_progress(number, len(looked))
    _add_labelme(labelme, files, texts, found)
    trees = trees_found(files.names, texts)
    found.documents += trees.documents
    found.refused = _grouped(found.refused + trees.refused)
    found.used |= trees.used
    _add_text_lists(files.names, texts, found)
    return found


def _look_at(name: str, texts: Texts, found: Found, labelme: dict[str, list[str]]) -> None:
    ending = PurePosixPath(name).suffix.lower()
    if ending in OTHERS:
        if ending in LISTS and _add_list(name, texts, found):
            return
        if "annotation" in name.lower() or ending != ".csv":
            raise ImportRefusedError(OTHERS[ending])
        found.used.discard(name)
        return
    content = texts.content(name)
    kind, why_not = xml_kind(content) if ending == ".xml" else json_kind(content)
    if kind == "labelme":
        labelme[name.rpartition("/")[0]].append(name)
    elif kind == "tables":
        _add_tables(name, content, found)
    elif kind == "label_studio":
        found.documents.append(TaskList(name, content))
    elif kind == "cvat":
        found.documents.append(CvatXml(name, content))
    elif kind == "refused":
        raise ImportRefusedError(why_not)


def _add_tables(name: str, content: bytes, found: Found) -> None:
    tables = tables_read(content, where="It")
    kind = kind_told(tables)
    if kind in NO_TRUTH:
        raise ImportRefusedError(NO_TRUTH[kind])
    reader = SacoDocument if kind == "pairs" else CocoDocument
    found.documents.append(reader(name, tables, _split(name)))


def _add_list(name: str, texts: Texts, found: Found) -> bool:
    """Whether it is a list of verified negatives, or one of pictures that may be meant so."""
    listed = list_found(name, texts.text(name, limit_bytes=MAX_LIST_BYTES))
    if listed is None:
        return False
    found.used.add(name)
    if listed.states:
        found.documents.append(document_of(listed))
    else:
        found.lists.append(listed)
    return True


def _add_text_lists(names: Sequence[str], texts: Texts, found: Found) -> None:
    """Text files that are nothing else so far; those called as a picture is are captions or the like."""
    stems = {name.rpartition(".")[0] for name in names if not name.lower().endswith(LISTS)}
    others = [name for name in names if name.lower().endswith((".txt", ".tsv")) and name not in found.used]
    for name in [name for name in others if name.rpartition(".")[0] not in stems][:MOST_LISTS]:
        try:
            _add_list(name, texts, found)
        except ImportRefusedError as error:
            found.used.add(name)
            found.refused.append(Refused(name, str(error)))


def _split(name: str) -> str | None:
    """Roboflow: the document's folder; COCO: the last part of its name, as in instances_val2017.json."""
    path = PurePosixPath(name)
    return split_named(path.parent.name) or split_named(path.stem.rsplit("_", 1)[-1])


def _add_labelme(labelme: dict[str, list[str]], files: Files, texts: Texts, found: Found) -> None:
    beside: dict[str, list[str]] = defaultdict(list)
    for name in files.names if labelme else ():
        folder, _, last = name.rpartition("/")
        beside[folder].append(last)
    for folder, names in labelme.items():
        found.documents.append(LabelMeFolder(folder, names, texts, beside[folder]))


def _grouped(refused: list[Refused]) -> list[Refused]:
    """One a folder where many files are refused for one reason: 5,000 files of Pascal VOC are one sentence."""
    numbers = Counter((one.where.rpartition("/")[0], one.why) for one in refused)
    told: set[tuple[str, str]] = set()
    kept = []
    for one in refused:
        key = (one.where.rpartition("/")[0], one.why)
        if numbers[key] == 1 or one.why == UNKNOWN_JSON:
            kept.append(one)
        elif key not in told:
            told.add(key)
            kept.append(Refused(f"{one.where} and {numbers[key] - 1} more", one.why, one.problems))
    return kept
