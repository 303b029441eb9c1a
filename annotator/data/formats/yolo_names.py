"""What YOLO's data.yaml says, in all its forms, and the plain lists of names that other tools write instead.

Every plain value is taken as it is written: a class may be called `no`, `7` or `1e3`. Nothing in the file is run or
opened, and a path in it only chooses among the files that are there.
"""

from dataclasses import dataclass, field
from typing import Any

import yaml

from annotator.common.errors import ImportRefusedError

from .records import Problem

MAX_BYTES = 4 * 1024 * 1024
SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
NO_DATA_FILE = "data.yaml is no YOLO data file: "


class _AsWritten(yaml.SafeLoader):
    """Builds lists, maps and text alone. A key that is there twice is an error: 0 twice would be two classes in one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


_AsWritten.yaml_implicit_resolvers = {}


@dataclass
class DataFile:
    """`names` by class number; `folders`: what train, val and test name, in that order; `key_points`: pose labels."""

    names: dict[int, str]
    folders: dict[str, list[str]] = field(default_factory=dict)
    path: str = ""
    key_points: str = ""
    problems: list[Problem] = field(default_factory=list)


def read_names(text: str) -> list[str] | dict[int, str]:
    """The class names of data.yaml: a list where they are numbered from 0, else a map from number to name."""
    names = data_file_read(text).names
    return list(names.values()) if list(names) == list(range(len(names))) else names


def data_file_read(text: str) -> DataFile:
    """ImportRefusedError for what is no YOLO data file, or has no names."""
    try:
        document = yaml.load(text, Loader=_AsWritten)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ImportRefusedError(f"{NO_DATA_FILE}it must be plain YAML with `names`, each key once.") from None
    if not isinstance(document, dict) or "names" not in document:
        raise ImportRefusedError(f"{NO_DATA_FILE}it must be plain YAML with `names`, each key once.")
    found = DataFile(_names(document["names"]), path=_text(document.get("path")))
    for key, split in SPLIT_KEYS.items():
        found.folders.setdefault(split, []).extend(_texts(document.get(key)))
    points = document.get("kpt_shape")
    found.key_points = " x ".join(_texts(points)) or _text(points) if points else ""
    _check_count(document.get("nc"), found)
    return found


def is_data_file(text: str) -> bool:
    """Whether it looks like one at all: other tools keep YAML, too."""
    try:
        document = yaml.load(text, Loader=_AsWritten)
    except (yaml.YAMLError, ValueError, RecursionError):
        return "names:" in text
    return isinstance(document, dict) and ("names" in document or {"nc", "train"} <= set(document))


def plain_names(text: str) -> dict[int, str]:
    """classes.txt, obj.names: one name a line, numbered from 0; empty lines at the end count for nothing."""
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return {number: name for number, name in enumerate(lines) if name}


def _names(value: Any) -> dict[int, str]:
    if isinstance(value, list):
        pairs = list(enumerate(value))
    elif isinstance(value, dict):
        pairs = [(_number(key), name) for key, name in value.items()]
    else:
        pairs = []
    if not pairs or not all(isinstance(name, str) and name.strip() for _, name in pairs):
        raise ImportRefusedError(f"{NO_DATA_FILE}`names` must list the classes' names.")
    if len({number for number, _ in pairs}) < len(pairs):
        raise ImportRefusedError(f"{NO_DATA_FILE}two of its names have one number.")
    return {number: name.strip() for number, name in sorted(pairs)}


def _number(key: Any) -> int:
    if isinstance(key, str) and key.strip().isascii() and key.strip().isdigit() and len(key) < 10:
        return int(key)
    raise ImportRefusedError(f"{NO_DATA_FILE}{str(key)[:20]!r} among its `names` is no class's number.")


def _check_count(said: Any, found: DataFile) -> None:
    if isinstance(said, str) and said and said != str(len(found.names)):
        why = f"nc says {said[:20]} classes, names lists {len(found.names)}; the names count."
        found.problems.append(Problem("data.yaml", why))
    if found.names and min(found.names) > 0:
        why = f"Its names begin at {min(found.names)}; label files are read by these numbers."
        found.problems.append(Problem("data.yaml", why))


def _texts(value: Any) -> list[str]:
    """A folder, or a list of them; Roboflow's later files hold a map for each."""
    if isinstance(value, str):
        return [value] if value else []
    return [one for one in value if isinstance(one, str) and one] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
