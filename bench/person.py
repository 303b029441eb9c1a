"""What an answer costs a person, the same model for every arm of bench.annotator_hours, and the person it stands for.

Seconds are assumptions, chosen from public figures, not measured on people: 30 s a polygon by hand; under 3 s to click
an object and look whether the mask fits. SAM 3's data engine took 6 s a verified negative and 152 s a positive phrase
with all its masks (from scratch 71 and 236; its paper, table 14): its pictures hold tens of objects, these up to three.
What is known of clicks: `bench/results/click-full-gpu.json`, SAM 3's size on an H100, one person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from annotator.operations.loop.oracle import ACCEPT_IOU, Drawn, Point, mask_iou, settle_object

SAME_OBJECT_IOU = 0.5  # the desk takes a proposal for settled where an accepted mask overlaps it by more

# A click over HTTP on an embedding that is kept (p50 0.029 s), and one that encodes the picture first, as Label
# Studio's SAM backend does at every click: 0.054 s in the process (p50) and the same 0.013 s of HTTP. What its editor
# adds for each mask on the picture was not measured and is not counted. Without a GPU the encoding takes 182 s
# (click-full-cpu.json), which this does not count either.
DESK_CLICK_SECONDS, ELSEWHERE_CLICK_SECONDS = 0.029, 0.067


@dataclass(frozen=True)
class Work:
    """What a person did on some pairs, as counts: seconds can be told of it by another model later."""

    pairs: int = 0
    absent: int = 0
    accepted: int = 0
    rejected: int = 0
    clicked: int = 0
    corrections: int = 0
    drawn: int = 0

    def __add__(self, other: Work) -> Work:
        mine, theirs = asdict(self), asdict(other)
        return Work(**{name: mine[name] + theirs[name] for name in mine})


@dataclass(frozen=True)
class Person:
    """Seconds of each act. `review_share` of the pairs is looked at by a second person, for `review` seconds."""

    look: float = 2.0
    accept: float = 1.0
    reject: float = 1.5
    click: float = 3.0
    correct: float = 3.0
    draw: float = 30.0
    absent: float = 1.5
    review: float = 3.0
    review_share: float = 1.0  # the product's default policy: every answer

    def seconds(self, work: Work, *, click_seconds: float) -> float:
        """`click_seconds`: how long each click waits for its mask."""
        acts = work.pairs * (self.look + self.review_share * self.review) + work.absent * self.absent
        acts += work.accepted * self.accept + work.rejected * self.reject + work.drawn * self.draw
        acts += work.clicked * self.click + work.corrections * self.correct
        return acts + click_seconds * (work.clicked + work.corrections)


ClickModel = Callable[[Sequence[Point]], np.ndarray]


@dataclass
class Answer:
    """The masks that were accepted, none for a negative, and what it took."""

    masks: list[np.ndarray] = field(default_factory=list)
    work: Work = field(default_factory=Work)


def at_the_desk(
    truth: Sequence[np.ndarray], proposals: Sequence[np.ndarray], clicker: Callable[[], ClickModel]
) -> Answer:
    """Proposals that fit are accepted, what they miss is clicked, what is left over is rejected."""
    if not truth:  # one key says that it is not there, and settles all proposals
        return Answer([], Work(pairs=1, absent=1))
    accepted, missed = _fitting(truth, proposals)
    clicked = by_clicks(missed, clicker) if missed else Answer()
    masks = [proposals[place] for place in accepted] + clicked.masks
    left = [one for place, one in enumerate(proposals) if place not in accepted and not _is_covered(one, masks)]
    own = Work(pairs=1, accepted=len(accepted), rejected=len(left))
    acts = Work(clicked=clicked.work.clicked, corrections=clicked.work.corrections, drawn=clicked.work.drawn)
    return Answer(masks, own + acts)


def by_clicks(truth: Sequence[np.ndarray], clicker: Callable[[], ClickModel]) -> Answer:
    """No proposals: each object is clicked, corrected, and drawn by hand where clicks do not get there."""
    if not truth:
        return Answer([], Work(pairs=1, absent=1))
    objects = [settle_object(mask, clicker()) for mask in truth]
    corrections = sum(len(one.points) - 1 for one in objects)
    work = Work(pairs=1, clicked=len(objects), corrections=corrections, drawn=sum(map(_is_drawn, objects)))
    return Answer([one.mask_HW for one in objects], work)


def _is_drawn(one: Drawn) -> bool:
    return one.origin == "drawn"


def _fitting(truth: Sequence[np.ndarray], proposals: Sequence[np.ndarray]) -> tuple[list[int], list[np.ndarray]]:
    """Places of the proposals that fit an object each, best first as they come, and the objects that none fits."""
    accepted: list[int] = []
    missed = list(truth)
    for place, proposal in enumerate(proposals):
        overlaps = [mask_iou(proposal, mask) for mask in missed]
        if overlaps and max(overlaps) >= ACCEPT_IOU:
            accepted.append(place)
            missed.pop(int(np.argmax(overlaps)))
    return accepted, missed


def _is_covered(proposal: np.ndarray, masks: Sequence[np.ndarray]) -> bool:
    return any(mask_iou(proposal, mask) > SAME_OBJECT_IOU for mask in masks)
