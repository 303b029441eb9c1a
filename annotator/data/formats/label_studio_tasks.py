"""The tasks of a Label Studio export: which annotation of each counts, where its image lies, what its regions are."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from annotator.common.errors import ImportRefusedError
from annotator.common.masks import MAX_MASK_PIXELS

from .coco import split_named
from .documents import Size
from .values import flag_of, whole_of

NO_TASK = "This is no Label Studio task with data.image and annotations."
MORE_IMAGES = "Its data has more than one picture ({}); one a task is read."
IMAGE_KEYS = ("image", "img", "image_url", "url", "photo", "picture")
IS_IMAGE = re.compile(r"\.(jpe?g|png|webp|bmp|tiff?|jfif|jpe|mpo)$", re.IGNORECASE)
SHAPES = ("brush", "polygon", "rectangle", "ellipse", "bitmask")


def image_address(task: Any) -> str:
    """What its data says of its picture; ImportRefusedError where that is none, or more than one."""
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        raise ImportRefusedError(NO_TASK)
    if "image" in data:
        if not isinstance(data["image"], str) or not data["image"]:
            raise ImportRefusedError(NO_TASK)
        return data["image"]
    found = {key: value for key, value in data.items() if isinstance(value, str) and _is_image(key, value)}
    if len(set(found.values())) > 1:
        raise ImportRefusedError(MORE_IMAGES.format(", ".join(found)))
    if not found:
        raise ImportRefusedError(NO_TASK)
    return next(iter(found.values()))


def results_of(task: Any) -> list[dict]:
    """Of the annotation that counts; none where there is none. ImportRefusedError for what is no task."""
    annotation = annotation_of(task)
    results = annotation.get("result") if annotation else []
    if not isinstance(results, list):
        raise ImportRefusedError(NO_TASK)
    return [one for one in results if isinstance(one, dict)]


def other_results(task: Any) -> list[dict]:
    """What other annotators say of the task; none where one annotation was called ground truth."""
    counts = annotation_of(task)
    if counts is None or flag_of(counts.get("ground_truth")):
        return []
    found = [one.get("result") for one in annotations_of(task) if one is not counts]
    return [row for rows in found if isinstance(rows, list) for row in rows if isinstance(row, dict)]


def annotation_of(task: Any) -> dict | None:
    """The one called ground truth, else the newest that was not skipped."""
    usable = annotations_of(task)
    newest = max(enumerate(usable), key=lambda pair: (*_age(pair[1]), pair[0]), default=(0, None))
    return newest[1]


def annotations_of(task: Any) -> list[dict]:
    """All that were submitted and not skipped. Before version 1.0 they were called completions."""
    rows = task.get("annotations", task.get("completions")) if isinstance(task, dict) else None
    if not isinstance(rows, list):
        raise ImportRefusedError(NO_TASK)
    good = [one for one in rows if isinstance(one, dict)]
    return [one for one in good if not flag_of(one.get("was_cancelled")) and not flag_of(one.get("skipped"))]


def _age(annotation: Mapping[str, Any]) -> tuple[bool, str]:
    when = annotation.get("updated_at") or annotation.get("created_at") or ""
    return flag_of(annotation.get("ground_truth")), str(when)


def regions_of(results: list[dict]) -> Iterator[tuple[int, dict]]:
    """Each result with its number. Where shapes and labels are controls of their own, the two parts of a region are
    one result again."""
    labels = {one.get("id"): one for one in results if one.get("type") == "labels" and one.get("id")}
    shapes = {one.get("id") for one in results if one.get("type") in SHAPES}
    for number, result in enumerate(results, start=1):
        kind, key = result.get("type"), result.get("id")
        if kind in SHAPES and key in labels:
            value, names = result.get("value"), strings_of(labels[key].get("value"), "labels")
            value = {**value, f"{kind}labels": names} if isinstance(value, dict) else value
            yield number, {**result, "type": f"{kind}labels", "value": value}
        elif kind != "labels" or key not in shapes:
            yield number, result


def labels_of(result: dict) -> list[str]:
    """The names on a labelled shape; Label Studio keeps them under the name of its type."""
    return strings_of(result.get("value"), str(result.get("type")))


def words_of(result: dict) -> set[str]:
    """Every name that a result gives: labels of any kind, choices, the paths of a taxonomy."""
    value = result.get("value")
    lists = [one for one in value.values() if isinstance(one, list)] if isinstance(value, dict) else []
    flat = [one for row in lists for item in row for one in (item if isinstance(item, list) else [item])]
    return {one for one in flat if isinstance(one, str)}


def strings_of(value: Any, key: str) -> list[str]:
    found = value.get(key) if isinstance(value, dict) else None
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def region_size(result: dict) -> Size | None:
    """Label Studio writes the image's size beside each result; converters often leave it out."""
    width, height = whole_of(result.get("original_width")), whole_of(result.get("original_height"))
    return (width, height) if width and height and width * height <= MAX_MASK_PIXELS else None


def size_said(results: list[dict]) -> Size | None:
    return next((size for result in results if (size := region_size(result))), None)


def split_said(task: dict[str, Any]) -> str | None:
    """Label Studio knows no splits: who divides the pictures notes it among the task's data, as our export does."""
    said = task["data"].get("split")
    return split_named(said) if isinstance(said, str) else None


def _is_image(key: str, value: str) -> bool:
    if value.startswith("data:"):
        return False
    address = unquote(value)
    if IS_IMAGE.search(urlsplit(address).path) or IS_IMAGE.search(address):
        return True
    return key.lower() in IMAGE_KEYS and (value.startswith("/") or "://" in value)
