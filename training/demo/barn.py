"""The empty barn, and what light, lens and sensor do to the picture."""

from __future__ import annotations

import itertools

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from training.demo.brush import Canvas, jitter, shade


def draw_barn(side_px: int, horizon_px: int, clutter: int, rng: np.random.Generator) -> Canvas:
    """Plank wall above the horizon, straw floor below; clutter is the number of straws and of stains."""
    floor = jitter(rng, (186, 150, 92), 8)
    canvas = Canvas(Image.new("RGB", (side_px, side_px), floor), Image.new("L", (side_px, side_px), 0))
    pen = canvas.colour_pen
    _draw_wall(pen, side_px, horizon_px, rng)
    for _ in range(clutter // 10):
        x, y = rng.uniform(0, side_px), rng.uniform(horizon_px, side_px)
        w, h = rng.uniform(0.05, 0.16, 2) * side_px
        pen.ellipse((x - w, y - h / 3, x + w, y + h / 3), fill=shade(floor, rng.uniform(0.86, 1.08)))
    starts = rng.uniform((0, horizon_px), (side_px, side_px), (clutter, 2))
    ends = starts + rng.normal(0, 0.035 * side_px, (clutter, 2)) * (1.4, 0.6)
    tones = rng.uniform(0.8, 1.22, clutter)
    for (x0, y0), (x1, y1), tone in zip(starts, ends, tones, strict=True):
        pen.line((x0, y0, x1, y1), fill=shade((206, 172, 104), tone), width=max(1, side_px // 220))
    if rng.random() < 0.3:
        _draw_bale(pen, side_px, horizon_px, rng)
    return canvas


def _draw_wall(pen: ImageDraw.ImageDraw, side_px: int, horizon_px: int, rng: np.random.Generator) -> None:
    wood = jitter(rng, (122, 82, 56), 8)
    planks = int(rng.integers(6, 11))
    edges = np.linspace(0, side_px, planks + 1) + rng.uniform(-0.01, 0.01, planks + 1) * side_px
    for left, right in itertools.pairwise(edges):
        pen.rectangle((left, 0, right + 1, horizon_px), fill=shade(wood, rng.uniform(0.86, 1.12)))
        pen.line((left, 0, left, horizon_px), fill=shade(wood, 0.55), width=max(1, side_px // 180))
    pen.rectangle((0, horizon_px - side_px * 0.02, side_px, horizon_px), fill=shade(wood, 0.6))
    if rng.random() < 0.4:
        x, w = rng.uniform(0.1, 0.75) * side_px, rng.uniform(0.12, 0.2) * side_px
        pen.rectangle((x - 4, horizon_px * 0.18 - 4, x + w + 4, horizon_px * 0.62 + 4), fill=shade(wood, 0.5))
        pen.rectangle((x, horizon_px * 0.18, x + w, horizon_px * 0.62), fill=jitter(rng, (186, 214, 232)))


def _draw_bale(pen: ImageDraw.ImageDraw, side_px: int, horizon_px: int, rng: np.random.Generator) -> None:
    x, w = rng.uniform(-0.05, 0.8) * side_px, rng.uniform(0.2, 0.32) * side_px
    top, bottom = horizon_px - 0.09 * side_px, horizon_px + 0.06 * side_px
    straw = jitter(rng, (204, 166, 84), 8)
    pen.rectangle((x, top, x + w, bottom), fill=straw)
    for y in np.linspace(top, bottom, 6)[1:-1]:
        pen.line((x, y, x + w, y + rng.uniform(-2, 2)), fill=shade(straw, 0.82), width=2)
    for share in (0.3, 0.7):
        pen.line((x + w * share, top, x + w * share, bottom), fill=shade(straw, 0.6), width=3)


def draw_rails(canvas: Canvas, side_px: int, rng: np.random.Generator) -> None:
    """A fence between the camera and the animals: it covers them, so it also erases their masks."""
    wood = jitter(rng, (104, 84, 66), 8)
    thickness = rng.uniform(0.022, 0.04) * side_px
    height = rng.uniform(0.5, 0.85) * side_px
    slope = rng.uniform(-0.06, 0.06) * side_px
    for y in (height, height + 0.2 * side_px):
        rail = [(0, y), (side_px, y + slope), (side_px, y + slope + thickness), (0, y + thickness)]
        canvas.colour_pen.polygon(rail, fill=wood)
        canvas.number_pen.polygon(rail, fill=0)
    x = rng.uniform(0.1, 0.9) * side_px
    post = (x, height - 0.08 * side_px, x + 1.3 * thickness, side_px)
    canvas.colour_pen.rectangle(post, fill=shade(wood, 0.85))
    canvas.number_pen.rectangle(post, fill=0)


def develop_easy(picture: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Daylight and a clean sensor: (H, W, 3) uint8."""
    gain = rng.uniform(0.92, 1.08)
    pixels = np.asarray(picture, dtype=np.float32) * gain
    pixels += rng.standard_normal(pixels.shape, dtype=np.float32) * rng.uniform(0.5, 2.5)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def develop_hard(picture: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Dusk or lamp light, a moving or badly focused camera, a noisy sensor: each on some pictures."""
    if rng.random() < 0.6:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.5) * picture.width / 224))
    pixels = np.asarray(picture, dtype=np.float32)
    if rng.random() < 0.65:
        tint = np.array([0.78, 0.86, 1.1] if rng.random() < 0.6 else [1.12, 0.9, 0.62], dtype=np.float32)
        pixels = pixels * (tint * rng.uniform(0.42, 0.75)) * _vignette(picture.width, rng)
    pixels = pixels + rng.standard_normal(pixels.shape, dtype=np.float32) * rng.uniform(2, 15)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _vignette(side_px: int, rng: np.random.Generator) -> np.ndarray:
    """Light falls off away from one lit spot: (H, W, 1)."""
    x, y = rng.uniform(0.2, 0.8, 2) * side_px
    rows, cols = np.arange(side_px, dtype=np.float32)[:, None], np.arange(side_px, dtype=np.float32)[None]
    distance = np.sqrt((rows - y) ** 2 + (cols - x) ** 2) / side_px
    return (1.15 - 0.55 * distance)[..., None].astype(np.float32)
