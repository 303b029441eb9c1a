"""A figure with how many it rests on and how far it may lie from the truth, as `measures.json` has it.

Scenes are redrawn or shares bounded with their design effect, since pairs of one scene are not independent. What a set
cannot say is null, with a sentence. Legend: P pairs, S scenes, R rounds, K additive terms, N things that are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from toolbox.cgf1_sums import by_scene, redrawn_differences
from training.intervals import FEW_SCENES, proportion

CONFIDENCE = 0.95
ROUNDS = 1000

Figure = dict[str, Any]  # value, n, low, high
OfSums = Callable[[np.ndarray], np.ndarray]  # (R, K) -> (R,), nan where a round says nothing


class Figures:
    """The figures of one group of pairs while they are gathered, and why some have no value or no interval."""

    def __init__(self) -> None:
        self.figures: dict[str, Figure] = {}
        self.undefined: dict[str, str] = {}

    def add(self, name: str, value: float, n: int, interval: tuple[float, float] | str) -> None:
        """`interval` is two bounds, or the sentence that says why there are none."""
        bounds: tuple[float | None, float | None] = (None, None)
        if isinstance(interval, str):
            self.undefined[name] = interval
        else:
            bounds = interval
        self.figures[name] = figure(value, n, *bounds)

    def leave_out(self, names: tuple[str, ...], n: int, why: str) -> None:
        for name in names:
            self.figures[name] = figure(None, n, None, None)
            self.undefined[name] = why

    def plain(self) -> dict[str, Any]:
        return {"figures": self.figures, "undefined": self.undefined}


def figure(value: float | None, n: int, low: float | None, high: float | None) -> Figure:
    return {"value": _rounded(value), "n": int(n), "low": _rounded(low), "high": _rounded(high)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)


def share(does_N: np.ndarray, scene_N: np.ndarray) -> Figure:
    """Of N things (bool), how many do it: Clopper and Pearson's interval, scenes counted as far as they are alike."""
    if not len(does_N):
        return figure(None, 0, None, None)
    low, high = proportion(does_N, scene_N, CONFIDENCE)
    return figure(float(does_N.mean()), len(does_N), low, high)


def share_of_counts(hits_P: np.ndarray, of_P: np.ndarray, scene_P: np.ndarray) -> Figure:
    """The same of things that lie in pairs, hits_P of them among of_P."""
    does_N = np.concatenate([np.ones(int(hits_P.sum()), dtype=bool), np.zeros(int((of_P - hits_P).sum()), dtype=bool)])
    return share(does_N, np.concatenate([np.repeat(scene_P, hits_P), np.repeat(scene_P, of_P - hits_P)]))


def redrawn(
    of_sums: OfSums, terms_PK: np.ndarray, scene_P: np.ndarray, seed: int, rounds: int = ROUNDS
) -> tuple[float, float] | str:
    """The middle 95 % of a figure over sets of scenes drawn with replacement; a sentence where that says nothing."""
    terms_SK = by_scene(terms_PK, scene_P)
    return middle(redrawn_differences(lambda drawn_RS: of_sums(drawn_RS @ terms_SK), len(terms_SK), rounds, seed))


def middle(drawn_R: np.ndarray) -> tuple[float, float] | str:
    known = drawn_R[np.isfinite(drawn_R)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, [tail, 1 - tail]) if known.size else (0.0, 0.0)
    if high - low < 1e-9:
        return "No interval: every redrawn set of scenes gives the same figure, which says nothing of how sure it is."
    return float(low), float(high)


def too_few(scenes: dict[str, int]) -> str | None:
    """Why nothing can be redrawn; scenes by kind, such as `with positives`."""
    for kind, count in scenes.items():
        if count < FEW_SCENES:
            return f"No interval: scenes {kind} are {count}; with fewer than {FEW_SCENES} nothing can be redrawn."
    return None


def count_scenes(scene_P: np.ndarray, kept_P: np.ndarray) -> int:
    return len(np.unique(scene_P[kept_P]))
