"""Which pictures look alike: 64-bit looks (toolbox/pixels.py) that differ in few bits, found without comparing all.

Four bands of 16 bits: looks that differ in at most 7 bits agree in one band up to a single bit. So each look is
compared with those alone that share a band with it so nearly.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

from toolbox.look import FLAT

# One scene: JPEG, scaling and a step aside change up to 6 bits; different photographs of a kind differ in 16 and more.
NEAR_BITS = 6
# Fairly alike: enough where the same source took both within seconds.
ALIKE_BITS = 12
BANDS, BAND_BITS = 4, 16
# Of a band: as it is, and with each of its bits turned.
TURNS = np.array([0, *(1 << bit for bit in range(BAND_BITS))], dtype=np.uint16)
PAIRS_AT_ONCE = 2_000_000
PENDING_MOST = 4096

Key = TypeVar("Key", bound=Hashable)


def is_telling(look: str) -> bool:
    """Whether it says anything: a picture whose look is unknown, or that shows nothing, is like no other."""
    return bool(look) and look != FLAT


def as_numbers(looks: Sequence[str]) -> np.ndarray:
    return np.array([int(look, 16) for look in looks], dtype=np.uint64)


class Union(Generic[Key]):
    """Sets that grow together; `root` names a set by one of its members."""

    def __init__(self) -> None:
        self._parents: dict[Key, Key] = {}

    def root(self, one: Key) -> Key:
        path = []
        while (parent := self._parents.get(one, one)) != one:
            path.append(one)
            one = parent
        self._parents.update(dict.fromkeys(path, one))
        return one

    def join(self, one: Key, other: Key) -> None:
        self._parents[self.root(one)] = self.root(other)


class NearLooks:
    """Looks by position, for finding those near to another; more may be added at any time."""

    def __init__(self) -> None:
        self._looks: np.ndarray = np.zeros(0, np.uint64)
        self._pending: list[int] = []
        self._bands: list[tuple[np.ndarray, np.ndarray]] = []

    def __len__(self) -> int:
        return len(self._looks) + len(self._pending)

    def add(self, looks: Iterable[int]) -> None:
        self._pending += looks
        if len(self._pending) > PENDING_MOST:
            self._looks = np.concatenate([self._looks, np.array(self._pending, np.uint64)])
            self._pending = []
            self._bands = [_sorted_band(_band(self._looks, band)) for band in range(BANDS)]

    def near(self, look: int) -> list[int]:
        """The positions of all within NEAR_BITS of it."""
        wanted = np.uint64(look)
        found = np.unique(np.concatenate([np.zeros(0, np.int64), *self._candidates(wanted)]))
        near = found[_apart(self._looks[found], wanted) <= NEAR_BITS]
        late = _apart(np.array(self._pending, np.uint64), wanted) <= NEAR_BITS
        return [*near.tolist(), *(len(self._looks) + np.flatnonzero(late)).tolist()]

    def _candidates(self, look: np.uint64) -> Iterator[np.ndarray]:
        for band, (order, starts) in enumerate(self._bands):
            for value in _band(np.array([look]), band)[0] ^ TURNS:
                yield order[starts[value] : starts[int(value) + 1]]


def near_pairs(looks: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(positions, positions) of looks within NEAR_BITS of each other, in parts; a pair may come more than once."""
    for band in range(BANDS):
        values = _band(looks, band)
        order, starts = _sorted_band(values)
        for turn in TURNS:
            yield from _near_of_band(looks, values ^ turn, order, starts)


def _near_of_band(
    looks: np.ndarray, wanted: np.ndarray, order: np.ndarray, starts: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    first, counts = starts[wanted], starts[wanted.astype(np.int64) + 1] - starts[wanted]
    parts = np.cumsum(counts) // PAIRS_AT_ONCE
    for part in np.unique(parts):
        rows = np.flatnonzero((parts == part) & (counts > 0))
        left = np.repeat(rows, counts[rows])
        within = np.arange(len(left)) - np.repeat(np.cumsum(counts[rows]) - counts[rows], counts[rows])
        right = order[np.repeat(first[rows], counts[rows]) + within]
        near = (left < right) & (_apart(looks[left], looks[right]) <= NEAR_BITS)
        yield left[near], right[near]


def _band(looks: np.ndarray, band: int) -> np.ndarray:
    return (looks >> np.uint64(band * BAND_BITS)).astype(np.uint16)


def _sorted_band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(positions ordered by value, where each value's positions start)."""
    counts = np.bincount(values, minlength=1 << BAND_BITS)
    return np.argsort(values, kind="stable"), np.concatenate([[0], np.cumsum(counts)])


def _apart(some: np.ndarray, others: np.ndarray | np.uint64) -> np.ndarray:
    return np.bitwise_count(some ^ others)


def alike_sets(looks: np.ndarray) -> np.ndarray:
    """For each look the number of its set: near ones are in one, and what is near to those."""
    distinct, where = np.unique(looks, return_inverse=True)
    labels = np.arange(len(distinct))
    for left, right in near_pairs(distinct):
        one, other = labels[left], labels[right]
        if (one != other).any():
            labels = _joined(labels, np.unique(np.stack([one, other], axis=1)[one != other], axis=0))
    return labels[where]


def _joined(labels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    union: Union[int] = Union()
    for one, other in pairs.tolist():
        union.join(one, other)
    roots = labels.copy()
    changed = np.unique(pairs)
    roots_of = np.arange(len(labels))
    roots_of[changed] = [union.root(one) for one in changed.tolist()]
    return roots_of[roots]
