"""Label Studio tasks with brush masks. Its brush RLE is not COCO's (brush_runs.py).

Verified negatives are a second control, choices named `absent`. `label_config` is the labelling interface to match.
"""

from collections.abc import Sequence
from typing import Any

from annotator.common.errors import MaskError

from .documents import Size
from .label_studio_regions import READ, SHAPES
from .label_studio_tasks import (
    image_address,
    labels_of,
    other_results,
    region_size,
    regions_of,
    results_of,
    size_said,
    words_of,
)
from .records import ImageRecord, Instance, Problem
from .shapes import NO_LABEL

BRUSH, ABSENT, INCOMPLETE, IMAGE = "brush", "absent", "incomplete", "image"
WRONG_SIZE = (
    "Its size is not the image's: drawn on {} x {} px, the image has {} x {}. If the sides are swapped, EXIF "
    "orientation turns it."
)


def read(task: Any, *, size_px: Size | None = None) -> tuple[ImageRecord, list[Problem]]:
    """The annotation of an exported task that counts: its objects, and the choices of `absent`.

    `size_px`: the image's width and height, where they are known; else Label Studio's word for them is taken. That
    annotation is the one called ground truth, else the newest; skipped ones are none. Keypoints are prompts and no
    objects. Of further controls (choices, taxonomies, texts, relations) no object comes; but a class that a keypoint, a
    choice or another annotator names is not absent.
    """
    address, results = image_address(task), results_of(task)
    size = size_px or size_said(results) or (0, 0)
    name = address.rsplit("/", 1)[-1]
    image = ImageRecord(name, *size, name=str(task["data"].get("name") or name))
    problems = []
    for number, result in regions_of(results):
        try:
            _read_result(result, image)
        except MaskError as error:
            image.unsure.update(labels_of(result) or [NO_LABEL])
            problems.append(Problem(f"{name}, result {number}", str(error)))
    image.only_named(named_without_outline(task, results))
    return image, problems


def named_without_outline(task: Any, results: Sequence[dict]) -> set[str]:
    """Words that may be classes in this picture, but for what the counting annotation says by its own masks."""
    aside = [one for one in results if one.get("from_name") not in (ABSENT, INCOMPLETE)]
    return set().union(*(words_of(one) for one in [*aside, *other_results(task)]))


def _read_result(result: dict, image: ImageRecord) -> None:
    """A region whose size is left out is read in percent of the picture's own."""
    value, kind = result.get("value"), str(result.get("type"))
    if kind == "choices" and result.get("from_name") == ABSENT:
        image.absent += [name for name in labels_of(result) if name not in image.absent]
    if kind == "choices" and result.get("from_name") == INCOMPLETE:
        image.incomplete |= set(labels_of(result))
    if kind in SHAPES:
        raise MaskError("It has no label.")
    if not kind.endswith("labels") or kind == "keypointlabels":
        return
    if kind not in READ:
        raise MaskError(f"A result of the type {kind[:20]!r} is no mask.")
    if not isinstance(value, dict) or len(labels_of(result)) != 1:
        raise MaskError("It must have one label.")
    said = region_size(result)
    if said is not None and said != (image.width_px, image.height_px):
        raise MaskError(WRONG_SIZE.format(*said, image.width_px, image.height_px))
    if result.get("image_rotation"):
        raise MaskError("It was drawn on a rotated view; turn the image back and draw it again.")
    mask = READ[kind](value, (image.width_px, image.height_px))
    image.instances.append(Instance(labels_of(result)[0], mask, coarse=kind == "rectanglelabels"))
