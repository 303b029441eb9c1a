"""Which pairs make up step k: balanced, newer rounds more often, and a function of seed and step alone.

Because a batch follows from (seed, step) without any state, a resumed run draws what the uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from training.dataset import Pair
from training.errors import Refused
from training.views import PLAIN, View, Views

POSITIVES, NEGATIVES = 0, 1  # kinds of draws; views.py and blending.py have others


@dataclass(frozen=True)
class Batch:
    """Pairs of one step, positives first, and for each how its image is looked at."""

    pairs: list[Pair]
    views: list[View]

    @classmethod
    def plain(cls, pairs: list[Pair]) -> Batch:
        """Of images as they are."""
        return cls(pairs, [PLAIN] * len(pairs))

    @property
    def positives(self) -> int:
        return sum(pair.is_positive for pair in self.pairs)


class Sampler:
    """Positives and explicit negatives in fixed shares; each goes through all its pairs before it repeats one."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        seed: int,
        batch_pairs: int,
        positive_share: float = 0.5,
        newer_weight: float = 1.0,
        views: Views | None = None,
    ) -> None:
        self._groups = [
            [pair for pair in pairs if pair.is_positive],
            [pair for pair in pairs if pair.is_negative],
        ]
        check_both_kinds(len(self._groups[POSITIVES]), len(self._groups[NEGATIVES]))
        self._seed, self._views = seed, views or Views(seed)
        self._weights = [_round_weights(group, newer_weight) for group in self._groups]
        positives = min(batch_pairs - 1, max(1, round(batch_pairs * positive_share)))
        self._shares = [positives, batch_pairs - positives]
        self._epoch = lru_cache(maxsize=8)(self._draw_epoch)

    def batch(self, step: int) -> Batch:
        """The pairs of step 0, 1, 2, ..."""
        pairs = [pair for kind in (POSITIVES, NEGATIVES) for pair in self._part(kind, step)]
        return Batch(pairs, self._views.of_batch(pairs, step))

    def _part(self, kind: int, step: int) -> list[Pair]:
        share, group = self._shares[kind], self._groups[kind]
        length = self._epoch_length(kind)
        places = range(step * share, (step + 1) * share)
        return [group[self._epoch(kind, place // length)[place % length]] for place in places]

    def _epoch_length(self, kind: int) -> int:
        return int(np.ceil(self._weights[kind].sum()))

    def _draw_epoch(self, kind: int, epoch: int) -> np.ndarray:
        """Every pair as often as its weight says, the fraction by systematic sampling; then shuffled."""
        rng = np.random.default_rng([self._seed, kind, epoch])
        weights = self._weights[kind]
        length = self._epoch_length(kind)
        edges = np.cumsum(weights) * (length / weights.sum())
        drawn = np.searchsorted(edges, np.arange(length) + rng.random(), side="right").clip(max=len(weights) - 1)
        return rng.permutation(drawn)


def _round_weights(pairs: list[Pair], newer_weight: float) -> np.ndarray:
    """From 1 at round 0 to newer_weight at the newest round, linearly."""
    rounds = np.array([pair.round for pair in pairs], dtype=np.float64)
    newest = rounds.max(initial=0.0)
    return 1 + (newer_weight - 1) * (rounds / newest if newest > 0 else np.zeros_like(rounds))


def check_both_kinds(positives: int, negatives: int) -> None:
    """Refused: a head that only ever saw one answer learns to give it always."""
    if positives and negatives:
        return
    lacking = "positives" if not positives else "negatives (pairs that a person marked as absent)"
    raise Refused(
        "untrainable_snapshot",
        f"The snapshot's train split has {positives} positive and {negatives} negative pairs: without {lacking} the "
        "presence score cannot be trained. Settle some such pairs and freeze a new snapshot.",
    )
