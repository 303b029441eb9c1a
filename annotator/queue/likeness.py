"""Which pairs look alike, by the direction of their images' features about the middle. Pure functions on arrays."""

from collections.abc import Sequence

import numpy as np

# Cosine of two images' features about their middle; from here on the second teaches little.
SIMILAR = 0.9
# The middle is found among so many images, as the mean of so many that lie far apart.
COMPARED, LANDMARKS = 5000, 8
# Each pair is compared with so many of its concept, evenly drawn; what is alike among the rest is estimated from them.
SAMPLED = 256
ROWS_AT_ONCE = 8192


def directions(features: np.ndarray) -> np.ndarray:
    """Rows as unit vectors about their middle: what all images share says nothing about which are alike."""
    middle = _middle(features[:: -(-len(features) // COMPARED)].astype(np.float32))
    found = features.astype(np.float32)
    found -= middle
    lengths = np.sqrt(np.einsum("nd,nd->n", found, found))[:, None]
    return np.divide(found, lengths, out=found, where=lengths > 0)


def _middle(features: np.ndarray) -> np.ndarray:
    """The mean of a few that lie far apart (each the farthest from those before it).

    The mean of all would lie among the frames of a camera that hardly moves, where any noise is a direction.
    """
    apart = [int(np.square(features - features.mean(axis=0)).sum(axis=1).argmin())]
    distances = np.full(len(features), np.inf)
    while len(apart) < min(LANDMARKS, len(features)):
        distances = np.minimum(distances, np.square(features - features[apart[-1]]).sum(axis=1))
        apart.append(int(distances.argmax()))
    return features[apart].mean(axis=0)


def alike_counts(units: np.ndarray, concepts: Sequence[str]) -> np.ndarray:
    """For each row how many of its concept look like it, itself included; exact up to SAMPLED rows of a concept.

    Beyond, each is compared with an even sample: a hundred thousand rows among each other would be 10^10 comparisons.
    """
    counts = np.ones(len(units))
    names = np.asarray(concepts)
    for name in sorted(set(concepts)):
        rows = np.flatnonzero(names == name)
        counts[rows] = _alike_within(units, rows)
    return counts


def _alike_within(units: np.ndarray, rows: np.ndarray) -> np.ndarray:
    total = len(rows)
    places = np.unique(np.linspace(0, total - 1, min(SAMPLED, total)).astype(int))
    sample = units[rows[places]].T.copy()
    is_sampled, is_like_itself = np.zeros(total, bool), np.zeros(total, bool)
    is_sampled[places] = True
    is_like_itself[places] = np.square(sample).sum(axis=0) > SIMILAR  # one without a direction is like nothing
    hits = np.empty(total)
    for start in range(0, total, ROWS_AT_ONCE):
        block = rows[start : start + ROWS_AT_ONCE]
        hits[start : start + len(block)] = (units[block] @ sample > SIMILAR).sum(axis=1)
    # Itself is no evidence of others, and one of the sample was compared with the rest of it only.
    compared = len(places) - is_sampled
    return 1 + (hits - is_like_itself) * (total - 1) / np.maximum(compared, 1)
