"""Views of an image: other looks at the same picture, from which a run learns what it learned from the picture itself.

An image has the view as it is, the mirrored one if the run asks for it, and as many drawn ones as it asks for: parts of
the picture nearer and farther, in other light, out of focus, at dusk. Which those are follows from seed, image and
number alone; which of them a pair is looked at in, from seed and step.

A view never makes a negative of a positive. One that leaves too little of every marked object is not taken for that
pair; a negative is absent from every part of its picture.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from toolbox.feature_files import DRAWN_VIEW
from training import masks
from training.config import Config
from training.dataset import Pair

MIRRORS, VIEWS = 2, 11  # kinds of draws, as sampling.py has 0 and 1 and blending.py 3
# A positive's view shows at least so much of one of its objects.
KEPT_SHARE = 0.25
# Of what is done to pixels (view_pixels.py): raise it when that changes, or old features are taken for new ones.
PIXELS_VERSION = 1


@dataclass(frozen=True)
class View:
    """What is done to a picture, in this order. Equal views of an image are equal pictures.

    crop_xywh: whole pixels of the picture, which it may reach beyond; None is all of it. mirrored: left to right.
    brightness, contrast, saturation: factors. hue_deg: a turn of the colours. dusk: 0 to 1, dark and noisy; blue: 0 to
    1, the light's tint then. blur: Gaussian sigma as a share of the side of what the network sees.
    """

    crop_xywh: tuple[int, int, int, int] | None = None
    mirrored: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue_deg: float = 0.0
    dusk: float = 0.0
    blue: float = 0.0
    blur: float = 0.0
    noise_seed: int = 0

    @property
    def key(self) -> str:
        """What a cached file's name says of it: every number, so that no other view's features are taken for its."""
        if self in (PLAIN, MIRRORED):
            return "-mirrored" if self.mirrored else ""
        told = json.dumps([PIXELS_VERSION, *astuple(self)])
        return f"{DRAWN_VIEW}{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    @property
    def changes_light(self) -> bool:
        return self != View(self.crop_xywh, self.mirrored, noise_seed=self.noise_seed)


PLAIN, MIRRORED = View(), View(mirrored=True)
Seen = tuple[str, View]  # an image by SHA-256, and how it is looked at


@dataclass(frozen=True)
class Views:
    """Of each image its views 0, 1, 2, ...: as it is, mirrored if `mirror`, then `drawn` others.

    strength: 0 to 1. colour: hue and saturation change too, which a concept that is told by its colour must not have.
    """

    seed: int
    drawn: int = 0
    mirror: bool = False
    strength: float = 0.5
    colour: bool = True

    @classmethod
    def of(cls, config: Config) -> Views:
        return cls(config.seed, config.views, config.mirror, config.view_strength, config.view_colour)

    @property
    def count(self) -> int:
        """Of one image."""
        return 1 + self.mirror + self.drawn

    def of_image(self, image: str, *, width_px: int, height_px: int) -> list[View]:
        kept = [PLAIN, MIRRORED] if self.mirror else [PLAIN]
        return kept + [self._draw(image, number, width_px, height_px) for number in range(self.drawn)]

    def of_pair(self, pair: Pair) -> list[View]:
        return self.of_image(pair.image, width_px=pair.width_px, height_px=pair.height_px)

    def of_batch(self, pairs: Sequence[Pair], step: int) -> list[View]:
        """How each pair of a step is looked at. Without drawn views the whole step is mirrored, or none of it."""
        if not self.drawn:
            flips = self.mirror and bool(np.random.default_rng([self.seed, MIRRORS, step]).random() < 0.5)
            return [MIRRORED if flips else PLAIN] * len(pairs)
        numbers = np.random.default_rng([self.seed, VIEWS, step]).integers(self.count, size=len(pairs))
        return [self.choose(pair, int(number)) for pair, number in zip(pairs, numbers, strict=True)]

    def choose(self, pair: Pair, number: int) -> View:
        """The view of that number, or the next one that suits the pair; the picture as it is suits any."""
        views = self.of_pair(pair)
        return next(view for view in views[number:] + views if suits(pair, view))

    def wanted(self, pairs: Iterable[Pair]) -> list[Seen]:
        """Every look at an image that a batch may ask for, each once."""
        found = {(pair.image, view): None for pair in pairs for view in self.of_pair(pair) if suits(pair, view)}
        return list(found)

    def _draw(self, image: str, number: int, width_px: int, height_px: int) -> View:
        """Every number is drawn in any case, so that a switch changes what it says and nothing else."""
        told = hashlib.sha256(f"{self.seed} {image} {number}".encode()).digest()
        rng, strength = np.random.default_rng(int.from_bytes(told[:8])), self.strength
        crop = _crop(rng, strength, width_px, height_px)
        flips = bool(rng.random() < 0.5) and self.mirror
        brightness, contrast, saturation = 1 + strength * rng.uniform(-1, 1, 3) * (0.4, 0.4, 0.5)
        hue_deg = strength * rng.uniform(-12, 12)
        is_blurred, is_dusk = rng.random(2) < (0.3, 0.25)
        blur, dusk = strength * rng.uniform((0.001, 0.3), (0.004, 1))
        return View(
            crop,
            flips,
            brightness=round(float(brightness), 4),
            contrast=round(float(contrast), 4),
            saturation=round(float(saturation), 4) if self.colour else 1.0,
            hue_deg=round(float(hue_deg), 2) if self.colour else 0.0,
            dusk=round(float(dusk), 4) if is_dusk else 0.0,
            blue=round(float(dusk), 4) if is_dusk and self.colour else 0.0,
            blur=round(float(blur), 5) if is_blurred else 0.0,
            noise_seed=int(rng.integers(2**31)) if is_dusk else 0,
        )


def _crop(rng: np.random.Generator, strength: float, width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """At full strength from 1.6 times as far away, with ground around, to 2.2 times as near, sides a fifth off."""
    zoom = math.exp(strength * rng.uniform(-0.5, 0.8))
    stretch = math.exp(strength * rng.uniform(-0.1, 0.1))
    width, height = max(1, round(width_px / zoom * stretch)), max(1, round(height_px / zoom / stretch))
    x, y = (_place(rng, whole, part) for whole, part in ((width_px, width), (height_px, height)))
    return x, y, width, height


def _place(rng: np.random.Generator, whole_px: int, part_px: int) -> int:
    """Anywhere inside the picture, or, where it is longer than that, anywhere around it."""
    return int(rng.integers(min(0, whole_px - part_px), max(0, whole_px - part_px) + 1))


def suits(pair: Pair, view: View) -> bool:
    """Whether the pair says the same of this view: always of an absence, of a presence where enough of it is left."""
    if view.crop_xywh is None or not pair.is_positive:
        return True
    return any(masks.share_inside(one.rle, view.crop_xywh) >= KEPT_SHARE for one in pair.instances)


def view_words(view: View, *, width_px: int, height_px: int) -> str:
    """For people: `1.4 times nearer, mirrored, dusk`."""
    if view.crop_xywh is None:
        return "mirrored" if view.mirrored else "as it is"
    nearer = math.sqrt(width_px * height_px / (view.crop_xywh[2] * view.crop_xywh[3]))
    size = f"{nearer:.2f} times nearer" if nearer >= 1 else f"{1 / nearer:.2f} times farther"
    said = ((view.mirrored, "mirrored"), (view.dusk > 0, "dusk"), (view.blur > 0, "blurred"))
    return ", ".join([size, *(words for is_so, words in said if is_so)])
