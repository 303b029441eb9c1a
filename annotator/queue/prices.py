"""What settling a pair is expected to cost a person, in seconds. Pure functions.

    price = (1 - presence) x absent + presence x (proposals x check + missed x click)

A proposal that is there is checked, one that is not is rejected by the same look; objects likely missed are those whose
query score lies below the proposals' threshold, each counted by that score, and at least one where nothing is proposed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

PROPOSED = 0.5  # the official metric's threshold: a query score from here on is shown as a proposal
LEAST_SECONDS = 1.0


@dataclass(frozen=True)
class Figures:
    """Seconds of a person: a pair verified as absent, a proposal checked, an object that no proposal shows.

    The defaults are public: SAM 3's data engine verifies a negative in 6 s, a click with its check takes under 3 s;
    a missed object is counted as two of those, one to point at it and one to mend it.
    """

    absent_seconds: float = 6.0
    check_seconds: float = 3.0
    click_seconds: float = 6.0


PUBLIC = Figures()


@dataclass(frozen=True)
class Work:
    """What waits for a person on one pair; `missed` is an expectation."""

    proposals: int
    missed: float


def work_of(scores: Sequence[float]) -> Work:
    """`scores`: the query scores of what the model found, its proposals and what it holds for less likely."""
    proposals, missed = 0, 0.0
    for score in scores:
        if score >= PROPOSED:
            proposals += 1
        else:
            missed += score
    return Work(proposals, missed if proposals else max(missed, 1.0))


def price(presence: float, scores: Sequence[float], figures: Figures = PUBLIC) -> float:
    """Expected seconds until the pair is settled, never less than LEAST_SECONDS: gain is divided by it."""
    work = work_of(scores)
    there = work.proposals * figures.check_seconds + work.missed * figures.click_seconds
    return max((1 - presence) * figures.absent_seconds + presence * there, LEAST_SECONDS)


def price_words(scores: Sequence[float], seconds: float) -> str:
    """«2 objects to check, about 6 s.»"""
    proposals = work_of(scores).proposals
    objects = f"{proposals} object{'' if proposals == 1 else 's'} to check" if proposals else "No outline to check yet"
    return f"{objects}, about {max(round(seconds), 1)} s."
