"""Which split each picture of a YOLO tree is in: what data.yaml's train, val and test name.

They may be folders, lists of folders, or text files that list pictures, relative to the file, to its `path`, or to the
disk of whoever wrote it; Roboflow writes `../train/images` for the folder beside the file. The longest end of such a
path that is really there counts.
"""

from collections import defaultdict
from collections.abc import Sequence

from annotator.common.errors import ImportRefusedError

from .records import Problem
from .texts import Texts
from .yolo_names import DataFile

MAX_LIST_BYTES = 64 * 1024 * 1024


def splits_of(
    where: str, root: str, data: DataFile, pictures: Sequence[str], names: Sequence[str], texts: Texts
) -> tuple[dict[str, str], set[str]]:
    """{picture: split}, the first that names it, and the lists that were read. What leads nowhere is a problem."""
    places = _Places(root, names)
    found: dict[str, str] = {}
    lists: set[str] = set()
    for split, entries in data.folders.items():
        for entry in entries:
            named, is_list = places.resolved(entry)
            if named is None:
                data.problems.append(Problem(where, f"{split}: {entry[:200]} is not among the files."))
                continue
            if is_list:
                lists.add(named)
            members = _listed(named, texts, pictures, data) if is_list else _in_folder(named, pictures)
            for picture in members:
                found.setdefault(picture, split)
    return found, lists


class _Places:
    """Folders and text files of the source, by any end of a path."""

    def __init__(self, root: str, names: Sequence[str]) -> None:
        self._root, self._names = root, {name for name in names if name.lower().endswith(".txt")}
        self._folders = {""}
        for name in names:
            folder = name.rpartition("/")[0]
            while folder and folder not in self._folders:
                self._folders.add(folder)
                folder = folder.rpartition("/")[0]

    def resolved(self, entry: str) -> tuple[str | None, bool]:
        """(folder or file, is it a file)."""
        parts = [part for part in entry.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        is_list = bool(parts) and parts[-1].lower().endswith(".txt")
        known = self._names if is_list else self._folders
        for start in range(max(len(parts), 1)):
            for base in dict.fromkeys((self._root, "")):
                candidate = "/".join(part for part in (base, *parts[start:]) if part)
                if candidate in known:
                    return candidate, is_list
        return None, is_list


def _in_folder(folder: str, pictures: Sequence[str]) -> list[str]:
    return [picture for picture in pictures if not folder or picture.startswith(f"{folder}/")]


def _listed(name: str, texts: Texts, pictures: Sequence[str], data: DataFile) -> list[str]:
    """The pictures that a list names, each by the longest end of its path."""
    try:
        lines = texts.text(name, limit_bytes=MAX_LIST_BYTES).splitlines()
    except ImportRefusedError as error:
        data.problems.append(Problem(name, str(error)))
        return []
    by_last: dict[str, list[str]] = defaultdict(list)
    for picture in pictures:
        by_last[picture.rsplit("/", 1)[-1]].append(picture)
    found = [_meant(line.strip(), by_last) for line in lines if line.strip()]
    return [picture for picture in found if picture]


def _meant(line: str, by_last: dict[str, list[str]]) -> str | None:
    parts = line.replace("\\", "/").split("/")
    candidates = by_last.get(parts[-1], [])
    best = [(_common(parts, candidate.split("/")), candidate) for candidate in candidates]
    longest = [candidate for count, candidate in best if count == max(count for count, _ in best)]
    return longest[0] if len(longest) == 1 else None


def _common(one: list[str], other: list[str]) -> int:
    count = 0
    for mine, yours in zip(reversed(one), reversed(other), strict=False):
        if mine != yours:
            break
        count += 1
    return count
