"""Where the stations of the loop stand in its picture. Units: the SVG's own."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse

from annotator.models import Membership, Project

from .overview import Station, Step

CARD_WIDTH, CARD_HEIGHT = 190, 96
COLUMNS = (20, 264, 508, 752)
TOP, BOTTOM = 118, 300

PLACES = {
    "import": (COLUMNS[0], 4),
    "mine": (COLUMNS[0], TOP),
    "queue": (COLUMNS[1], TOP),
    "label": (COLUMNS[2], TOP),
    "review": (COLUMNS[3], TOP),
    "snapshot": (COLUMNS[3], BOTTOM),
    "retrain": (COLUMNS[2], BOTTOM),
    "gate": (COLUMNS[1], BOTTOM),
    "promote": (COLUMNS[0], BOTTOM),
}


@dataclass(frozen=True)
class Card:
    """A station with its place; `small` is the text size class for long values."""

    station: Station
    x: int
    y: int
    url: str
    is_next: bool
    value: str
    small: bool


def picture(project: Project, stations: Sequence[Station], step: Step, role: str) -> list[Card]:
    """A card a station; each leads to a page that this role may open."""
    return [_card(project, station, step, role) for station in stations]


def _card(project: Project, station: Station, step: Step, role: str) -> Card:
    x, y = PLACES[station.key]
    value = f"{station.count:,}" if isinstance(station.count, int) else station.count or "–"
    url = reverse(station.page, args=[project.slug])
    if station.key == "review" and role == Membership.Role.ANNOTATOR:
        url = reverse("queue", args=[project.slug]) + "?state=submitted"
    shown = value if len(value) <= 14 else f"{value[:13]}…"
    return Card(station, x, y, url, station.key == step.station, shown, len(value) > 7)
