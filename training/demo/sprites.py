"""What lives in the barn. Each sprite draws one instance of a concept in one of its breeds."""

from __future__ import annotations

import numpy as np

from training.demo.brush import Brush, Colour, jitter, shade

EASY_BREEDS: dict[str, list[str]] = {
    "chicken": ["white", "buff"],
    "duck": ["mallard", "yellow"],
    "rock": ["grey"],
    "feeder": ["red", "blue"],
    "egg": ["cream", "pink"],
}
HARD_BREEDS: dict[str, list[str]] = {
    "chicken": ["brown", "black", "barred"],
    "duck": ["pekin", "dusky"],
    "rock": ["brown", "mossy"],
    "feeder": ["steel", "wooden"],
    "egg": ["brown", "speckled"],
}
_BODY: dict[tuple[str, str], Colour] = {
    ("chicken", "white"): (244, 240, 232),
    ("chicken", "buff"): (224, 152, 62),
    ("chicken", "brown"): (128, 74, 42),
    ("chicken", "black"): (52, 48, 56),
    ("chicken", "barred"): (168, 166, 168),
    ("duck", "mallard"): (146, 128, 108),
    ("duck", "yellow"): (250, 216, 66),
    ("duck", "pekin"): (240, 238, 230),
    ("duck", "dusky"): (84, 76, 78),
    ("rock", "grey"): (150, 154, 160),
    ("rock", "brown"): (122, 98, 78),
    ("rock", "mossy"): (92, 104, 78),
    ("feeder", "red"): (204, 40, 42),
    ("feeder", "blue"): (46, 92, 200),
    ("feeder", "steel"): (168, 174, 182),
    ("feeder", "wooden"): (146, 104, 62),
    ("egg", "cream"): (250, 236, 212),
    ("egg", "pink"): (238, 190, 158),
    ("egg", "brown"): (176, 116, 76),
    ("egg", "speckled"): (196, 196, 170),
}
# Half the drawn height at 224 px, so that visible objects measure 40 to 110 px.
HALF_HEIGHT_PX = {"chicken": (28, 47), "duck": (26, 44), "rock": (22, 40), "feeder": (27, 46), "egg": (18, 25)}


def draw_sprite(brush: Brush, concept: str, breed: str, rng: np.random.Generator) -> None:
    colour = jitter(rng, _BODY[concept, breed])
    _SPRITES[concept](brush, breed, colour, rng)


def _chicken(brush: Brush, breed: str, colour: Colour, rng: np.random.Generator) -> None:
    dark, light = shade(colour, 0.78), shade(colour, 1.12)
    leg, comb = jitter(rng, (226, 160, 40)), jitter(rng, (206, 28, 32))
    for x in (-0.12, 0.16):
        brush.line([(x, 0.55), (x + 0.02, 0.98)], leg, 0.09)
        brush.line([(x - 0.1, 0.97), (x + 0.16, 0.97)], leg, 0.07)
    lift = rng.uniform(-0.15, 0.15)
    brush.polygon(
        [(-0.45, 0.25), (-1.02, -0.5 + lift), (-0.78, -0.62 + lift), (-0.62, -0.5 + lift), (-0.1, -0.2)], dark
    )
    brush.ellipse(0, 0.18, 0.68, 0.5, colour, tilt_rad=-0.15)
    head_x, head_y = 0.56 + rng.uniform(-0.06, 0.06), -0.62 + rng.uniform(-0.08, 0.08)
    brush.polygon([(0.05, -0.12), (head_x - 0.2, head_y), (head_x + 0.2, head_y + 0.05), (0.62, 0.3)], colour)
    for step in (-0.16, 0.0, 0.15):
        brush.ellipse(head_x + step, head_y - 0.23 + abs(step) * 0.4, 0.1, 0.14, comb)
    brush.polygon([(head_x + 0.16, head_y - 0.08), (head_x + 0.44, head_y + 0.02), (head_x + 0.16, head_y + 0.1)], leg)
    brush.ellipse(head_x + 0.14, head_y + 0.24, 0.07, 0.13, comb)
    brush.ellipse(head_x, head_y, 0.23, 0.22, colour)
    brush.ellipse(0.05, 0.36, 0.5, 0.24, shade(colour, 0.9), owned=False)
    brush.ellipse(-0.1, 0.12, 0.4, 0.27, dark, tilt_rad=-0.3, owned=False)
    brush.ellipse(-0.06, 0.05, 0.34, 0.19, light, tilt_rad=-0.3, owned=False)
    if breed == "barred":
        for stripe in np.arange(-0.45, 0.5, 0.17):
            brush.line([(stripe, -0.1), (stripe + 0.06, 0.5)], (62, 60, 66), 0.06, owned=False)
    brush.ellipse(head_x + 0.07, head_y - 0.04, 0.05, 0.05, (20, 16, 16), owned=False)


def _duck(brush: Brush, breed: str, colour: Colour, rng: np.random.Generator) -> None:
    head = jitter(rng, (24, 122, 62)) if breed == "mallard" else shade(colour, 1.04)
    bill = jitter(rng, (238, 120, 22))
    brush.polygon([(-0.6, 0.3), (-1.15, -0.12), (-0.72, -0.02), (-0.2, 0.15)], shade(colour, 0.84))
    brush.ellipse(-0.08, 0.42, 0.86, 0.46, colour)
    head_x, head_y = 0.62 + rng.uniform(-0.05, 0.05), -0.6 + rng.uniform(-0.08, 0.08)
    brush.polygon([(0.32, 0.3), (head_x - 0.17, head_y), (head_x + 0.16, head_y), (0.76, 0.4)], head)
    brush.ellipse(head_x, head_y, 0.28, 0.25, head)
    brush.polygon(
        [
            (head_x + 0.2, head_y - 0.07),
            (head_x + 0.58, head_y + 0.04),
            (head_x + 0.58, head_y + 0.15),
            (head_x + 0.2, head_y + 0.16),
        ],
        bill,
    )
    if breed == "mallard":
        brush.line([(0.36, -0.02), (0.76, 0.04)], (238, 236, 228), 0.1, owned=False)
    brush.ellipse(-0.15, 0.6, 0.6, 0.2, shade(colour, 0.88), owned=False)
    brush.ellipse(-0.22, 0.34, 0.46, 0.24, shade(colour, 0.76), tilt_rad=0.12, owned=False)
    brush.ellipse(-0.2, 0.29, 0.4, 0.17, shade(colour, 1.1), tilt_rad=0.12, owned=False)
    brush.ellipse(head_x + 0.08, head_y - 0.06, 0.05, 0.05, (20, 16, 16), owned=False)


def _rock(brush: Brush, breed: str, colour: Colour, rng: np.random.Generator) -> None:
    angles = np.sort(np.linspace(0, 2 * np.pi, 9, endpoint=False) + rng.uniform(-0.25, 0.25, 9))
    radii = rng.uniform(0.78, 1.08, 9)
    outline = np.stack([np.cos(angles) * radii * 1.2, np.sin(angles) * radii * 0.85], axis=1)
    brush.polygon(outline, colour)
    brush.polygon(outline * (0.72, 0.6) + (-0.12, -0.24), shade(colour, 1.2), owned=False)
    brush.polygon(outline * (0.78, 0.36) + (0.08, 0.48), shade(colour, 0.74), owned=False)
    for x, y in rng.uniform(-0.6, 0.6, (9, 2)):
        brush.ellipse(x, y, 0.06, 0.05, shade(colour, rng.choice([0.62, 1.3])), owned=False)
    if breed == "mossy":
        for x, y in rng.uniform((-0.8, -0.6), (0.8, 0.0), (6, 2)):
            brush.ellipse(x, y, 0.16, 0.1, (78, 116, 52), owned=False)


def _feeder(brush: Brush, breed: str, colour: Colour, rng: np.random.Generator) -> None:
    tray = jitter(rng, (120, 84, 52) if breed == "wooden" else (192, 198, 204))
    width = rng.uniform(0.5, 0.62)
    brush.polygon([(-0.95, 0.55), (0.95, 0.55), (0.8, 0.98), (-0.8, 0.98)], tray)
    brush.polygon([(-width, -0.6), (width, -0.6), (width, 0.66), (-width, 0.66)], colour)
    brush.polygon([(-width - 0.12, -0.58), (-0.18, -0.95), (0.18, -0.95), (width + 0.12, -0.58)], shade(colour, 0.72))
    brush.polygon(
        [(-width * 0.75, -0.5), (-width * 0.3, -0.5), (-width * 0.3, 0.5), (-width * 0.75, 0.5)],
        shade(colour, 1.3),
        owned=False,
    )
    brush.polygon(
        [(width * 0.6, -0.56), (width * 0.98, -0.56), (width * 0.98, 0.56), (width * 0.6, 0.56)],
        shade(colour, 0.75),
        owned=False,
    )
    brush.polygon([(-0.8, 0.6), (0.8, 0.6), (0.74, 0.72), (-0.74, 0.72)], (214, 178, 90), owned=False)


def _egg(brush: Brush, breed: str, colour: Colour, rng: np.random.Generator) -> None:
    brush.ellipse(0, 0.14, 0.78, 0.84, colour)
    brush.ellipse(0, -0.12, 0.64, 0.88, colour)
    brush.ellipse(0.1, 0.5, 0.52, 0.4, shade(colour, 0.84), owned=False)
    brush.ellipse(-0.04, 0.1, 0.6, 0.62, colour, owned=False)
    brush.ellipse(-0.2, -0.38, 0.18, 0.26, shade(colour, 1.16), owned=False)
    if breed == "speckled":
        for x, y in rng.uniform(-0.5, 0.5, (10, 2)):
            brush.ellipse(x, y, 0.06, 0.06, (110, 84, 62), owned=False)


_SPRITES = {"chicken": _chicken, "duck": _duck, "rock": _rock, "feeder": _feeder, "egg": _egg}
