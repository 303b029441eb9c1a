"""What a person shows the model. No torch here: the server listens before that is imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """Original-image pixels; label 1 is on the object, 0 is not."""

    x: float
    y: float
    label: int


@dataclass(frozen=True)
class ExemplarBox:
    """A box around an example of the concept (positive) or of what it is not. Original pixels."""

    box_xyxy: tuple[float, float, float, float]
    positive: bool = True
