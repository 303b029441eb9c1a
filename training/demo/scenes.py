"""Barn scenes with exact visible masks, a function of seed, domain and size alone.

*easy* is daylight, a clean lens and the breeds that the demo model's text side is taught. *hard* adds other breeds,
dusk, blur, noise, crowding and a fence in front. Seeds: training draws below 1,000,000, the model card from there to
1,999,999, the demo project from 2,000,000 on.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from training.demo.architecture import CONCEPTS, IMAGE_SIZE_PX
from training.demo.barn import develop_easy, develop_hard, draw_barn, draw_rails
from training.demo.brush import Brush
from training.demo.sprites import EASY_BREEDS, HALF_HEIGHT_PX, HARD_BREEDS, draw_sprite

DOMAINS = ("easy", "hard")
OVERSAMPLING = 2
MIN_VISIBLE_SHARE = 0.4
_CONCEPT_ODDS = np.array([0.34, 0.2, 0.17, 0.13, 0.16])


@dataclass(frozen=True)
class Scene:
    """image_HWC is RGB uint8; instances are (concept, visible mask (H, W) bool), which never overlap."""

    image_HWC: np.ndarray
    instances: list[tuple[str, np.ndarray]]
    seed: int
    domain: str


@dataclass(frozen=True)
class _Placed:
    concept: str
    breed: str
    centre_px: tuple[float, float]
    half_px: float
    tilt_rad: float
    mirrored: bool
    seed: int


def draw_scene(seed: int, domain: str, size_px: int = IMAGE_SIZE_PX) -> Scene:
    image_HWC, numbers_HW, concepts = draw_numbered(seed, domain, size_px)
    instances = [(concept, numbers_HW == number) for number, concept in enumerate(concepts, start=1)]
    return Scene(image_HWC, instances, seed, domain)


def draw_numbered(seed: int, domain: str, size_px: int = IMAGE_SIZE_PX) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The same as one map: (image, numbers (H, W) uint8, concepts); number n is the instance concepts[n - 1]."""
    if domain not in DOMAINS:
        raise ValueError(f"unknown domain '{domain}': choose one of {', '.join(DOMAINS)}")
    rng = np.random.default_rng([seed, zlib.crc32(domain.encode())])
    horizon = rng.uniform(0.3, 0.46)
    placed = _place_objects(rng, domain, horizon)
    paint_seed = int(rng.integers(2**62))
    while True:
        image, numbers, covered = _paint(placed, domain, horizon, size_px, paint_seed)
        if not covered:
            return image, numbers, [item.concept for item in placed]
        placed = [item for index, item in enumerate(placed) if index not in covered]


def _place_objects(rng: np.random.Generator, domain: str, horizon: float) -> list[_Placed]:
    """Objects on the floor, far ones first; in the units of a 224 px picture."""
    hard = domain == "hard"
    if rng.random() < 0.1:
        return []
    wanted = int(rng.integers(2, 7)) if hard else int(rng.integers(1, 6))
    kinds = rng.choice(len(CONCEPTS), size=int(rng.integers(1, 4)), replace=False, p=_CONCEPT_ODDS)
    placed: list[_Placed] = []
    for _ in range(wanted * 5):
        if len(placed) == wanted:
            break
        item = _random_object(rng, CONCEPTS[int(rng.choice(kinds))], hard, horizon)
        if all(_gap(item, other) > (0.62 if hard else 0.92) for other in placed):
            placed.append(item)
    return sorted(placed, key=lambda item: item.centre_px[1] + item.half_px)


def _random_object(rng: np.random.Generator, concept: str, hard: bool, horizon: float) -> _Placed:
    breeds = HARD_BREEDS[concept] if hard and rng.random() < 0.55 else EASY_BREEDS[concept]
    low, high = HALF_HEIGHT_PX[concept]
    near = rng.uniform(0, 1)
    half = (low + (high - low) * (0.65 * near + 0.35 * rng.uniform(0, 1))) * (0.92 if hard else 1.0)
    foot = (horizon + 0.1 + (0.97 - horizon - 0.1) * near) * IMAGE_SIZE_PX
    x = rng.uniform(0.35 * half, IMAGE_SIZE_PX - 0.35 * half) if hard else rng.uniform(half, IMAGE_SIZE_PX - half)
    return _Placed(
        concept,
        str(rng.choice(breeds)),
        (float(x), float(foot - half)),
        float(half),
        float(rng.normal(0, 0.09)),
        bool(rng.random() < 0.5),
        int(rng.integers(2**62)),
    )


def _gap(a: _Placed, b: _Placed) -> float:
    """Distance between centres, 1 where two round objects of these sizes would just touch."""
    distance = np.hypot(a.centre_px[0] - b.centre_px[0], a.centre_px[1] - b.centre_px[1])
    return float(distance / (a.half_px + b.half_px))


def _paint(
    placed: list[_Placed], domain: str, horizon: float, size_px: int, paint_seed: int
) -> tuple[np.ndarray, np.ndarray, set[int]]:
    """Picture, instance numbers, and which objects ended up too covered to be labelled fairly."""
    rng = np.random.default_rng(paint_seed)
    side = size_px * OVERSAMPLING
    scale = side / IMAGE_SIZE_PX
    canvas = draw_barn(side, int(horizon * side), 110 if domain == "hard" else 60, rng)
    full_areas = []
    for number, item in enumerate(placed, start=1):
        full_areas.append(_paint_object(canvas, number, item, scale))
    if domain == "hard" and rng.random() < 0.35:
        draw_rails(canvas, side, rng)
    numbers = np.asarray(canvas.numbers)[1::OVERSAMPLING, 1::OVERSAMPLING].copy()
    visible = np.bincount(numbers.ravel(), minlength=len(placed) + 1)[1:] * OVERSAMPLING**2
    covered = {
        index
        for index, (seen, full) in enumerate(zip(visible, full_areas, strict=True))
        if seen < MIN_VISIBLE_SHARE * full
    }
    picture = canvas.picture.resize((size_px, size_px), Image.Resampling.BOX)
    develop = develop_hard if domain == "hard" else develop_easy
    return develop(picture, rng), numbers, covered


def _paint_object(canvas, number: int, item: _Placed, scale: float) -> int:
    """Shadow, then sprite; returns the area that it covers before anything stands in front of it."""
    rng = np.random.default_rng(item.seed)
    centre = (item.centre_px[0] * scale, item.centre_px[1] * scale)
    unit = item.half_px * scale
    x, y = centre[0], centre[1] + 0.93 * unit
    canvas.colour_pen.ellipse((x - unit, y - 0.18 * unit, x + unit, y + 0.2 * unit), fill=(112, 86, 52))
    brush = Brush(canvas, number, centre_px=centre, unit_px=unit, tilt_rad=item.tilt_rad, mirrored=item.mirrored)
    draw_sprite(brush, item.concept, item.breed, rng)
    return canvas.numbers.histogram()[number]
