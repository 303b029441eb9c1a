"""Rounding to one side, of the number as it is written: 0.29 x 100 is 28.999…, and its floor would be 0.28."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

PLACES = 6  # of figures in JSON


def floored(value: float, places: int = PLACES) -> float:
    return float(Decimal(str(float(value))).quantize(Decimal(1).scaleb(-places), ROUND_FLOOR))


def ceiled(value: float, places: int = PLACES) -> float:
    return float(Decimal(str(float(value))).quantize(Decimal(1).scaleb(-places), ROUND_CEILING))
