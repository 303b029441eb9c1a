"""How much longer one model takes than another, from seconds measured in turns (stopwatch.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
ENCODE, CLICK = "encode", "click"


@dataclass(frozen=True)
class Ratio:
    """The challenger's time over the champion's: a geometric mean with Student's interval of the logarithm."""

    value: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True)
class Speed:
    """`is_same`: both are the same network, down to the prompt, and nothing was measured."""

    is_same: bool
    ratios: Mapping[str, Ratio]

    def plain(self) -> dict[str, Any]:
        return {"same_network": self.is_same, **{name: asdict(ratio) for name, ratio in self.ratios.items()}}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Speed:
        return cls(plain["same_network"], {key: Ratio(**plain[key]) for key in (ENCODE, CLICK) if key in plain})


SAME = Speed(True, {})


def ratio_of(champion_s: Sequence[float], challenger_s: Sequence[float]) -> Ratio:
    """Of the seconds that each took, round by round; at least two rounds."""
    logs = np.log(np.asarray(challenger_s) / np.asarray(champion_s))
    mean, rounds = float(logs.mean()), len(logs)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, rounds - 1) * logs.std(ddof=1) / math.sqrt(rounds))
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), rounds)
