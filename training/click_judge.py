"""How many clicks an object takes, with the click decoder as it serves: the same calls, the same masks in pixels.

Clicks are simulated (simulated_clicks.py), each beside the mask that the one before was answered with, as the desk
sends them. An object that never gets there counts as MOST clicks, as is usual for this figure (NoC in the literature).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mlbackend.model.logits import logits_to_wire
from mlbackend.model.masks import decode_wire_mask
from mlbackend.model.predictor import Predictor, Prompt
from mlbackend.model.prompts import Point
from mlbackend.store.embeddings import Embedding
from training import masks
from training.dataset import Instance, Pair
from training.evaluate import Progress, ignore
from training.simulated_clicks import next_click
from training.token_source import TokenSource

MOST = 10
LEVELS = (0.85, 0.90)
TOLD_AFTER = (1, 3)
TOGETHER = 8
# The bootstrap draws whole images. Of fewer than these nothing can be told; and the tuned decoder may at worst take so
# many clicks an object more, as far as the bootstrap can see.
FEWEST_IMAGES = 5
ALLOWED_CLICKS = 0.25
ROUNDS, CONFIDENCE = 1000, 0.95


@dataclass(frozen=True)
class Clickable:
    """One object to click on."""

    pair: Pair
    instance: Instance


@dataclass(frozen=True)
class Course:
    """IoU after click 1, 2, ... on one object; it ends when nothing is left to be told of it."""

    image: str
    ious: tuple[float, ...]

    def clicks_to(self, level: float) -> int:
        return next((click for click, iou in enumerate(self.ious, start=1) if iou >= level), MOST)

    def reaches(self, level: float) -> bool:
        return any(iou >= level for iou in self.ious)

    def iou_after(self, clicks: int) -> float:
        """Of a mask that was right before, which nobody clicks on any more, its last one."""
        return self.ious[min(clicks, len(self.ious)) - 1]

    @property
    def clicks(self) -> float:
        """What is compared: the mean of the levels' clicks."""
        return sum(self.clicks_to(level) for level in LEVELS) / len(LEVELS)


def clickables(pairs: Sequence[Pair], at_most: int | None = None) -> list[Clickable]:
    """In the order of the images' hashes: always the same ones."""
    ordered = sorted(pairs, key=lambda pair: (pair.image, pair.phrase))
    return [Clickable(pair, instance) for pair in ordered for instance in pair.instances][:at_most]


def click_embedding(predictor: Predictor, features: TokenSource, pair: Pair) -> Embedding:
    """What the ML backend keeps of an image for its clicks, from the cached tokens."""
    tokens = features.tokens([pair.image])[0]
    return predictor.click_features(Embedding({"tokens": tokens}, pair.width_px, pair.height_px))


def click_courses(
    predictor: Predictor, features: TokenSource, objects: Sequence[Clickable], progress: Progress = ignore
) -> list[Course]:
    """In the order of objects. Those of a chunk share the decoder's calls, as desks do."""
    courses: list[Course] = []
    for start in range(0, len(objects), TOGETHER):
        chunk = objects[start : start + TOGETHER]
        pairs = {one.pair.image: one.pair for one in chunk}
        embeddings = {image: click_embedding(predictor, features, pair) for image, pair in pairs.items()}
        courses += _walked(predictor, [_Walk(one, embeddings[one.pair.image]) for one in chunk])
        progress(len(courses), len(objects))
    return courses


def _walked(predictor: Predictor, walks: list[_Walk]) -> Iterator[Course]:
    while open_walks := [walk for walk in walks if not walk.is_over]:
        answers = predictor.click([walk.prompt() for walk in open_walks])
        for walk, candidates in zip(open_walks, answers, strict=True):
            walk.take(candidates[0].mask_logits_hw)
    yield from (Course(walk.one.pair.image, tuple(walk.ious)) for walk in walks)


@dataclass
class _Walk:
    """One object under way: its clicks so far and how well they were answered."""

    one: Clickable
    embedding: Embedding
    ious: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        size = {"height_px": self.one.pair.height_px, "width_px": self.one.pair.width_px}
        self._size_px = size
        self._truth_HW = masks.decode_rle(self.one.instance.rle, **size)
        self._points: list[Point] = []
        self._earlier_hw: torch.Tensor | None = None
        self._next = next_click(self._truth_HW, np.zeros_like(self._truth_HW))

    @property
    def is_over(self) -> bool:
        is_there = bool(self.ious) and max(self.ious) >= LEVELS[-1] and len(self.ious) >= max(TOLD_AFTER)
        return self._next is None or len(self.ious) >= MOST or is_there

    def prompt(self) -> Prompt:
        assert self._next is not None
        self._points.append(self._next)
        return Prompt(self.embedding, tuple(self._points), earlier_logits_hw=self._earlier_hw)

    def take(self, logits_hw: torch.Tensor) -> None:
        found_HW = decode_wire_mask(logits_to_wire(logits_hw, **self._size_px))
        both, either = (self._truth_HW & found_HW).sum(), (self._truth_HW | found_HW).sum()
        self.ious.append(float(both / either))
        self._earlier_hw = logits_hw
        self._next = next_click(self._truth_HW, found_HW)


def figures(courses: Sequence[Course]) -> dict[str, float]:
    """Mean clicks to each level with the share of objects that got there, and mean IoU after the first clicks."""
    told: dict[str, float] = {}
    for level in LEVELS:
        name = round(100 * level)
        told[f"clicks_to_{name}"] = _mean([course.clicks_to(level) for course in courses])
        told[f"reached_{name}"] = _mean([course.reaches(level) for course in courses])
    return told | {f"iou_after_{n}": _mean([course.iou_after(n) for course in courses]) for n in TOLD_AFTER}


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)


def compare(base: Sequence[Course], tuned: Sequence[Course], seed: int) -> dict[str, Any]:
    """Figures of both decoders on the same objects, and whether the tuned one may be kept, with the reason."""
    more = np.array([after.clicks - before.clicks for before, after in zip(base, tuned, strict=True)])
    images = [course.image for course in base]
    low, high = _spread(more, images, seed)
    told = {
        "objects": len(base),
        "images": len(set(images)),
        "base": figures(base),
        "tuned": figures(tuned),
        "more_clicks": {"mean": _mean(more.tolist()), "low": round(low, 4), "high": round(high, 4)},
    }
    kept, sentence = _verdict(float(more.mean()), high, len(set(images)))
    return told | {"kept": kept, "sentence": sentence}


def _spread(more_O: np.ndarray, images: Sequence[str], seed: int) -> tuple[float, float]:
    """Bounds of the mean over ROUNDS redrawn sets of images: objects of one image are not independent."""
    _, place_O = np.unique(np.asarray(images), return_inverse=True)
    sums_I, sizes_I = np.bincount(place_O, weights=more_O), np.bincount(place_O)
    n_images = len(sizes_I)
    draws_RI = np.random.default_rng(seed).multinomial(n_images, np.full(n_images, 1 / n_images), size=ROUNDS)
    tail = (1 - CONFIDENCE) / 2
    means_R = (draws_RI @ sums_I) / (draws_RI @ sizes_I)
    low, high = (float(np.quantile(means_R, share)) for share in (tail, 1 - tail))
    return low, high


def _verdict(mean: float, high: float, images: int) -> tuple[bool, str]:
    if images < FEWEST_IMAGES:
        words = (
            f"The objects of `val` lie on {images} images, of which nothing can be told ({FEWEST_IMAGES} are needed)"
        )
        return False, f"{words}: the click decoder stays as it was."
    change = f"{abs(mean):.2f} clicks {'more' if mean > 0 else 'fewer'} an object" if mean else "as many clicks"
    words = f"Tuned, it takes {change} to reach IoU 0.85 and 0.90, over redrawn images at worst {high:+.2f}"
    if mean <= 0 and high <= ALLOWED_CLICKS:
        return True, f"{words}: the tuned click decoder is kept."
    why = "clicks got worse" if mean > 0 else f"more than {ALLOWED_CLICKS:g} worse cannot be ruled out"
    return False, f"{words}; {why}, so the click decoder stays as it was."
