"""The same few pairs of `val` from validation to validation, as the run's page shows them: few, small, judged once.

What the trainer tells are whole-image masks; what is kept are masks of a small picture, a few hundred bytes each, so
that they lie with the run's row and go with it.
"""

from typing import Any

import numpy as np
from PIL import Image

from annotator.common.masks import Rle, WireMask, encode_crop, mask_cropped, rle_to_wire
from annotator.models import TrainingRun
from toolbox.events import Event

from .run_page import sample_judged

SIDE_PX = 320
MOST_STEPS = 16
OF_A_PAIR = ("pair_id", "image", "text_input", "width", "height")


class SampleLog:
    """Collects `sample` events; the pairs of a step are complete when something else is told."""

    def __init__(self, run: TrainingRun) -> None:
        self._run = run
        self._step = 0
        self._pairs: list[dict[str, Any]] = []

    def take(self, event: dict[str, Any]) -> None:
        if event["event"] != Event.SAMPLE:
            self.complete()
            return
        if self._pairs and event["step"] != self._step:
            self.complete()
        self._step = event["step"]
        self._pairs.append(sample_kept(event))

    def complete(self) -> None:
        """Keeps the step beside the others; told again, by a run that went on, the later telling counts."""
        if not self._pairs:
            return
        others = [one for one in self._run.samples.get("steps", []) if one["step"] != self._step]
        steps = sorted([*others, {"step": self._step, "pairs": self._pairs}], key=lambda one: one["step"])
        self._pairs = []
        self._run.samples = {**self._run.samples, "steps": _thinned(steps)}
        TrainingRun.objects.filter(pk=self._run.pk).update(samples=self._run.samples)


def _thinned(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Evenly, the first and the last among them; the trainer tells few enough, whatever it is replaced by may not."""
    if len(steps) <= MOST_STEPS:
        return steps
    places = np.linspace(0, len(steps) - 1, MOST_STEPS).round().astype(int)
    return [steps[place] for place in places]


def sample_kept(event: dict[str, Any]) -> dict[str, Any]:
    """Judged at its own size, kept at a small one."""
    scale = min(1.0, SIDE_PX / max(event["width"], event["height"]))
    size = {side: max(1, round(event[side] * scale)) for side in ("width", "height")}

    def small(rle: Rle) -> WireMask:
        return rle_to_wire(_shrunk(rle, width_px=size["width"], height_px=size["height"]))

    return {name: event[name] for name in OF_A_PAIR} | size | sample_judged(event, told=small)


def _shrunk(rle: Rle, *, width_px: int, height_px: int) -> Rle:
    """A pixel is the object's where half of what it stands for is, and one at least is."""
    crop_HW, x0, y0 = mask_cropped(rle)
    across, down = width_px / rle["size"][1], height_px / rle["size"][0]
    left, top = (min(int(x0 * across), width_px - 1), min(int(y0 * down), height_px - 1))
    right = min(width_px, max(left + 1, round((x0 + crop_HW.shape[1]) * across)))
    bottom = min(height_px, max(top + 1, round((y0 + crop_HW.shape[0]) * down)))
    if not crop_HW.size:
        return encode_crop(crop_HW, x0=0, y0=0, height_px=height_px, width_px=width_px)
    whole = Image.fromarray(crop_HW.astype(np.uint8) * 255)
    shares_hw = np.asarray(whole.resize((right - left, bottom - top), Image.Resampling.BOX))
    small_hw = shares_hw >= min(128, int(shares_hw.max()))
    return encode_crop(small_hw, x0=left, y0=top, height_px=height_px, width_px=width_px)


def samples_by_step(run: TrainingRun) -> dict[str, Any]:
    """`steps` with their CGF1 and which one is kept, and for each pair what was seen at each of them (or null)."""
    shown = run.samples.get("steps", [])
    validations = {row["step"]: row for row in run.series.get(Event.VALIDATION) or []}
    kept = max((step for step, row in validations.items() if row.get("best")), default=None)
    steps = [
        {"step": one["step"], "cgf1": validations.get(one["step"], {}).get("cgf1"), "kept": one["step"] == kept}
        for one in shown
    ]
    seen = [{row["pair_id"]: row for row in one["pairs"]} for one in shown]
    known = {pair_id: row for one in seen for pair_id, row in one.items()}
    return {"steps": steps, "pairs": [_pair(row, [one.get(pair_id) for one in seen]) for pair_id, row in known.items()]}


def _pair(row: dict[str, Any], seen: list[dict[str, Any] | None]) -> dict[str, Any]:
    sides = [one and {name: value for name, value in one.items() if name not in OF_A_PAIR} for one in seen]
    return {name: row[name] for name in OF_A_PAIR} | {"seen": sides}


def steps_shown(run: TrainingRun) -> list[int]:
    return [one["step"] for one in run.samples.get("steps", [])]
