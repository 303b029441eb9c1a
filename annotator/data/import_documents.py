"""Finding a COCO export's documents among its files, and its images beside them."""

from collections import defaultdict
from dataclasses import replace
from pathlib import PurePosixPath

from annotator.common.errors import ImportRefusedError

from .formats import coco
from .formats.records import MAX_JSON_BYTES, Dataset, Problem, json_read
from .sources import ImportSource


def documents_read(source: ImportSource) -> Dataset:
    """All COCO documents of an export as one dataset; image names are the source's, splits by folder or file name."""
    whole = Dataset()
    for name in (name for name in source.names if name.lower().endswith(".json")):
        try:
            part = _document(source, name)
        except ImportRefusedError as error:
            whole.problems.append(Problem(name, str(error)))
            continue
        _locate(source, name, part)
        known = {category.name for category in whole.categories}
        whole.categories += [category for category in part.categories if category.name not in known]
        whole.images += part.images
        whole.problems += [replace(problem, where=f"{name}: {problem.where}") for problem in part.problems]
    return whole


def _document(source: ImportSource, name: str) -> Dataset:
    with source.open(name) as stream:
        content = b""
        while chunk := stream.read(1024 * 1024):
            content += chunk
            if len(content) > MAX_JSON_BYTES:
                raise ImportRefusedError(f"It has more than {MAX_JSON_BYTES // 2**20} MB; split the export.")
    return coco.read(json_read(content, where="It"), split=_split(name))


def _split(name: str) -> str | None:
    """Roboflow: the document's folder; COCO: the last part of its name, as in instances_val2017.json."""
    path = PurePosixPath(name)
    return coco.split_named(path.parent.name) or coco.split_named(path.stem.rsplit("_", 1)[-1])


def _locate(source: ImportSource, document: str, part: Dataset) -> None:
    """Give every image the name it has in the source: beside the document, else the only one called so anywhere."""
    beside, everywhere, names = PurePosixPath(document).parent, _by_last_part(source.names), set(source.names)
    located = []
    for image in part.images:
        candidate = (beside / image.file_name.replace("\\", "/")).as_posix()
        namesakes = everywhere[PurePosixPath(image.file_name).name]
        if candidate not in names and len(namesakes) != 1:
            why = "No such file is in the export." if not namesakes else "Several files are called so."
            part.problems.append(Problem(image.file_name, why))
            continue
        located.append(replace(image, file_name=candidate if candidate in names else namesakes[0]))
    part.images = located


def _by_last_part(names: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        found[PurePosixPath(name).name].append(name)
    return found
