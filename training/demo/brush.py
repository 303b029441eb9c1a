"""Draw one object twice with the same strokes: its colours on the picture, its number on the instance map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
_CIRCLE = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 28, endpoint=False)), np.sin(np.linspace(0, 2 * np.pi, 28, endpoint=False))],
    axis=1,
)


@dataclass
class Canvas:
    """The picture and the map of instance numbers (0 is background), both oversampled, painted back to front."""

    picture: Image.Image
    numbers: Image.Image

    def __post_init__(self) -> None:
        self.colour_pen = ImageDraw.Draw(self.picture)
        self.number_pen = ImageDraw.Draw(self.numbers)


class Brush:
    """Strokes in an object's own frame: x right, y down, the object about 2 units tall around the origin."""

    def __init__(
        self,
        canvas: Canvas,
        number: int,
        *,
        centre_px: tuple[float, float],
        unit_px: float,
        tilt_rad: float,
        mirrored: bool,
    ) -> None:
        self.canvas, self.number = canvas, number
        cos, sin = np.cos(tilt_rad), np.sin(tilt_rad)
        flip = -1.0 if mirrored else 1.0
        self.matrix = unit_px * np.array([[cos * flip, -sin], [sin * flip, cos]])
        self.centre_px, self.unit_px = np.asarray(centre_px), unit_px

    def polygon(self, points: np.ndarray | list, colour: Colour, *, owned: bool = True) -> None:
        """owned strokes belong to the object's mask; markings drawn inside it need not."""
        corners = [tuple(p) for p in (np.asarray(points) @ self.matrix.T + self.centre_px).tolist()]
        self.canvas.colour_pen.polygon(corners, fill=colour)
        if owned:
            self.canvas.number_pen.polygon(corners, fill=self.number)

    def ellipse(
        self,
        x: float,
        y: float,
        radius_x: float,
        radius_y: float,
        colour: Colour,
        *,
        tilt_rad: float = 0.0,
        owned: bool = True,
    ) -> None:
        cos, sin = np.cos(tilt_rad), np.sin(tilt_rad)
        outline = (_CIRCLE * (radius_x, radius_y)) @ np.array([[cos, sin], [-sin, cos]]) + (x, y)
        self.polygon(outline, colour, owned=owned)

    def line(self, points: list, colour: Colour, thickness: float, *, owned: bool = True) -> None:
        corners = [tuple(p) for p in (np.asarray(points) @ self.matrix.T + self.centre_px).tolist()]
        width = max(1, round(thickness * self.unit_px))
        self.canvas.colour_pen.line(corners, fill=colour, width=width)
        if owned:
            self.canvas.number_pen.line(corners, fill=self.number, width=width)


def shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(min(255, max(0, c * factor))) for c in colour)
    return red, green, blue


def jitter(rng: np.random.Generator, colour: Colour, spread: float = 10.0) -> Colour:
    """The same colour seen twice: brightness and tint move a little, independently."""
    changes = rng.normal(0, spread / 2, 3) + rng.normal(0, spread)
    red, green, blue = (int(min(255, max(0, c + d))) for c, d in zip(colour, changes, strict=True))
    return red, green, blue
