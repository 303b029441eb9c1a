"""What settling a pair is expected to teach, in bits of doubt that a person takes away. Pure functions.

    gain = presence doubt + objects in doubt + mask doubt + disagreement

Why these: docs/decisions/0024-gain-per-second.md; `python -m bench.queue_value` measures each alone.
"""

import math
from collections.abc import Sequence

# A query score within is no decision: the object may be there or not.
SCORE_DOUBT = (0.3, 0.7)


def entropy_bits(chance: float) -> float:
    """Doubt of a yes or no: 1 at a half, 0 at certainty."""
    if not 0 < chance < 1:
        return 0.0
    return -(chance * math.log2(chance) + (1 - chance) * math.log2(1 - chance))


def objects_in_doubt(scores: Sequence[float]) -> int:
    low, high = SCORE_DOUBT
    return len([score for score in scores if low <= score <= high])


def mask_doubt(stability: float | None, limit: float) -> float:
    """How far the least stable outline lies below the limit: 0 at it, 1 where nothing of it is stable."""
    return max(0.0, 1 - stability / limit) if stability is not None and limit > 0 else 0.0


def gain(
    *,
    presence: float,
    scores: Sequence[float],
    stability: float | None,
    stability_below: float,
    apart: float,
) -> float:
    """`apart`: how far two models lie apart, 0 to 1."""
    doubt = entropy_bits(presence) + presence * objects_in_doubt(scores) + apart
    return doubt + presence * mask_doubt(stability, stability_below)
