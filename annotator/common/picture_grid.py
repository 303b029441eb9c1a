"""A grid of pictures that are decided together: all are ticked, and a person takes out what is different."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.contrib import messages
from django.http import HttpRequest

from annotator.models import Concept, Image

from .masks import rle_to_wire

MOST_LEFT_OUT = 500
PLAIN_NUMBER = re.compile(r"\d{1,6}(\.\d{1,3})?", re.ASCII)
A_DAY = 24 * 3600.0


@dataclass(frozen=True)
class Card:
    """One picture with its outlines. `value`: what the form sends for it; `note`: whose answer it is, or what it looks
    like."""

    value: str
    image: Image
    concept: Concept
    instances: Sequence[dict]
    note: str
    open_url: str


class Told(Protocol):
    """What became of one of them; `message` says why it was skipped."""

    @property
    def message(self) -> str: ...


def grid_context(cards: Sequence[Card]) -> dict[str, Any]:
    """What `parts/picture_grid.html` draws."""
    return {"cards": cards, "masks": [[rle_to_wire(one["mask"]) for one in card.instances] for card in cards]}


def left_out(request: HttpRequest, key: str) -> list[int]:
    """What this person has taken out of a grid: shown again it would be ticked, and the next press decide on it."""
    return request.session.get(key, [])


def left_out_add(request: HttpRequest, key: str, *, shown: Iterable[int], chosen: Iterable[int]) -> None:
    kept = set(chosen)
    both = [*left_out(request, key), *(number for number in shown if number not in kept)]
    request.session[key] = both[-MOST_LEFT_OUT:]


def outcomes_tell(request: HttpRequest, *, done: int, verb: str, outcomes: Iterable[Told]) -> None:
    """On the next page: how many were done, and for each reason how many were skipped."""
    messages.success(request, f"{done} {verb}." if done else f"None was {verb}.")
    skipped = [one.message for one in outcomes if one.message]
    for sentence in dict.fromkeys(skipped):
        messages.warning(request, f"{skipped.count(sentence)} skipped. {sentence}")


def seconds_looked(request: HttpRequest) -> float:
    """What the page's script measured of the person's time; 0 where no script ran."""
    text = request.POST.get("active_seconds", "")
    seconds = float(text) if PLAIN_NUMBER.fullmatch(text) else 0.0
    return min(seconds, A_DAY)
