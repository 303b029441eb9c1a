"""Figures as people are told them, in pages and in sentences."""

from typing import Any


def points(fraction: Any) -> str:
    """A metric's fraction in points of 100: 0.4312 -> 43.1; nothing -> a dash."""
    return f"{100 * fraction:.1f}" if isinstance(fraction, int | float) else "–"


def duration(seconds: Any) -> str:
    """42 -> 42 s; 200 -> 3 min 20 s; 7300 -> 2 h 2 min."""
    if not isinstance(seconds, int | float):
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
