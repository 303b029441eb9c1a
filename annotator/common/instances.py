"""Instances as the desk sends them -> instances as the database keeps them."""

import math
from collections.abc import Sequence
from typing import Any

from annotator.models import Image
from annotator.models.annotations import Verdict

from .errors import MaskError, RoostError
from .masks import rle_area, wire_to_rle

# exemplar: the model found it when it was shown examples; their boxes are its prompts
# box: the model drew it in a box that an import brought, which is its prompt
ORIGINS = ("proposal", "click", "drawn", "exemplar", "box")
PROMPTED = ("click", "box")  # the origins whose prompts lie on the object itself
MAX_INSTANCES = 500
MAX_PROMPTS = 200


def instances_from_wire(instances: Sequence[dict], *, image: Image) -> list[dict]:
    """Check every field and mask against the image; MaskError or RoostError names the instance, from 1."""
    if len(instances) > MAX_INSTANCES:
        raise RoostError(f"One image holds at most {MAX_INSTANCES} instances here; this has {len(instances)}.")
    return [_instance(number, wire, image) for number, wire in enumerate(instances, start=1)]


def boxes_refused(instances: Sequence[dict], *, boxes: Sequence[dict]) -> None:
    """An import's box is shown to go on from; as an answer it would teach that the object is a rectangle.

    `boxes`: the pair's instances, of which the coarse ones count, and those that were so until a model drew in them: a
    desk may still show the box. RoostError names the instance, from 1.
    """
    as_imported = [as_box(one) for one in boxes]
    coarse = {one["mask"]["counts"] for one in as_imported if one.get("coarse")}
    masks = {one["mask"]["counts"] for one in boxes if not one.get("coarse")}  # a model may rightly fill a box
    for number, instance in enumerate(instances, start=1):
        if instance["mask"]["counts"] in coarse - masks:
            words = "is still the imported box: click on the object to have its outline drawn, or take the box away."
            raise RoostError(f"Instance {number} {words}", code="still_a_box")


def as_box(instance: dict) -> dict:
    """What an import brought of an instance in whose box a model drew since (its `sketch`); others as they are."""
    if "sketch" not in instance:
        return instance
    imported: dict[str, Any] = {
        "origin": "imported",
        "prompts": [],
        "model_version": None,
        "score": None,
        "edited": False,
    }
    return {"mask": instance["sketch"], **imported, "coarse": True}


def click_prompts(instance: dict) -> list[dict]:
    """The points and boxes that a model drew a stored instance from; none where it came about in another way.

    An exemplar's boxes lie on other objects; what was proposed or drawn by hand was not asked for by prompts.
    """
    return list(instance.get("prompts") or []) if instance.get("origin") in PROMPTED else []


def verdict_checked(verdict: str, instances: Sequence[dict]) -> str:
    """`present` wants an instance, `absent` wants none."""
    if verdict not in Verdict.values:
        raise RoostError("The verdict must be «present» or «absent».", fields={"verdict": ["Unknown."]})
    if verdict == Verdict.PRESENT and not instances:
        raise RoostError("«Present» needs at least one mask; mark one, or say that it is not in this image.")
    if verdict == Verdict.ABSENT and instances:
        raise RoostError("«Not in this image» can't come with masks; take them away, or submit them as present.")
    return verdict


def _instance(number: int, wire: Any, image: Image) -> dict:
    if not isinstance(wire, dict):
        raise RoostError(f"Instance {number} is no object with a mask.")
    try:
        mask = wire_to_rle(wire.get("mask"), height_px=image.height, width_px=image.width)
    except MaskError as error:
        raise MaskError(f"Instance {number}: {error}") from error
    if rle_area(mask) == 0:
        raise MaskError(f"Instance {number} is empty: no pixel is marked.")
    return {
        "mask": mask,
        "origin": _one_of(ORIGINS, wire.get("origin"), number),
        "prompts": _prompts(wire.get("prompts") or [], number, image),
        "model_version": _short_text(wire.get("model_version"), number),
        "score": _fraction(wire.get("score"), number),
        "edited": bool(wire.get("edited", False)),
    }


def _one_of(choices: Sequence[str], value: Any, number: int) -> str:
    if value not in choices:
        raise RoostError(f"Instance {number}: its origin must be one of {', '.join(choices)}.")
    return value


def _short_text(value: Any, number: int) -> str | None:
    if value is not None and (not isinstance(value, str) or len(value) > 64):
        raise RoostError(f"Instance {number}: its model_version must be a name or null.")
    return value


def _fraction(value: Any, number: int) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise RoostError(f"Instance {number}: its score must lie between 0 and 1, or be null.")
    return float(value)


def _prompts(prompts: Any, number: int, image: Image) -> list[dict]:
    """Points {x, y, label} and boxes {box: [x0, y0, x1, y1]}, in the order in which they were given."""
    if not isinstance(prompts, list) or len(prompts) > MAX_PROMPTS:
        raise RoostError(f"Instance {number}: its prompts must be a list of at most {MAX_PROMPTS} points and boxes.")
    return [_prompt(prompt, number, image) for prompt in prompts]


def _prompt(prompt: Any, number: int, image: Image) -> dict:
    if isinstance(prompt, dict) and "box" in prompt:
        return {"box": _box(prompt["box"], number, image)}
    return point_checked(prompt, where=f"Instance {number}") | {"label": _label(prompt, number)}


def _box(box: Any, number: int, image: Image) -> list[float]:
    values: list[Any] = box if isinstance(box, list) and len(box) == 4 else [None]
    if any(type(value) not in (int, float) or not math.isfinite(value) for value in values):
        raise RoostError(f"Instance {number}: a box is four numbers, x0, y0, x1, y1 in image pixels.")
    x0, y0, x1, y1 = (float(value) for value in values)
    if not (0 <= x0 < x1 <= image.width and 0 <= y0 < y1 <= image.height):
        raise RoostError(f"Instance {number}: its box {values} does not lie in the image.")
    return [x0, y0, x1, y1]


def point_checked(point: Any, *, where: str) -> dict:
    """{x, y} with finite numbers, image pixels."""
    values: list[Any] = [point.get(axis) for axis in "xy"] if isinstance(point, dict) else [None]
    if any(type(value) not in (int, float) or not math.isfinite(value) for value in values):
        raise RoostError(f"{where}: a point needs x and y in image pixels.")
    return {"x": float(values[0]), "y": float(values[1])}


def _label(prompt: dict, number: int) -> int:
    if prompt.get("label") not in (0, 1):
        raise RoostError(f"Instance {number}: a point's label must be 1 (adds) or 0 (subtracts).")
    return int(prompt["label"])
