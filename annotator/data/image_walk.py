"""Walking a project's images by id, newest first, for those that a filter lets through; in bounded time.

Counting or sorting a million rows is what makes a page slow. Here every part of the filter that an index knows says
where its next image is, the walk leaps there, and looks through a stretch of images for all parts at once. Where
matches are few and far apart it stops when its time is over, and says how far it came: the next page goes on there.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import QuerySet

from annotator.common.access import Person
from annotator.models import Image, Project

from .image_filter import ImageFilter, days_spanned, images_matching, ordered_sides

SECONDS = 0.06
FIRST_STRETCH, LONGEST_STRETCH = 1000, 40_000
STRETCH_SECONDS = 0.02
# So many of a side's next images are read at once.
FEW = 300
# Rows get their date some time before their id: so ids are in the dates' order but for this much.
SLACK, SLACK_ROWS = timedelta(hours=1), 2000


@dataclass(frozen=True)
class Walked:
    """Ids in the walk's order; `at`: where to go on (exclusive), None when all was seen.

    `ended_early`: time was over before enough were found.
    """

    ids: list[int]
    at: int | None
    ended_early: bool = False


class Walk:
    """`newer`: from older to newer images instead."""

    def __init__(self, *, project: Project, wanted: ImageFilter, user: Person, newer: bool = False) -> None:
        self._images = images_matching(project=project, wanted=wanted, user=user)
        self._sides = ordered_sides(project=project, wanted=wanted, user=user)
        self._step = 1 if newer else -1
        self._low, self._high = _bounds(project, wanted)

    def found(self, *, at: int | None, most: int, seconds: float | None = SECONDS) -> Walked:
        """At most `most` ids beyond `at`; `seconds` None: for as long as it takes."""
        ids: list[int] = []
        began, stretch = time.monotonic(), FIRST_STRETCH
        start = self._first(at)
        while (here := self._stretch(start, stretch)) is not None:
            looked = time.monotonic()
            ids += self._matching(here)[: most - len(ids)]
            if len(ids) == most:
                return Walked(ids, ids[-1])
            start = here.end + self._step
            is_over = seconds is not None and time.monotonic() - began > seconds
            if is_over and self._low <= start <= self._high:
                return Walked(ids, here.end, ended_early=True)
            stretch = _next_stretch(stretch, time.monotonic() - looked)
        return Walked(ids, None)

    def _first(self, at: int | None) -> int:
        if self._step > 0:
            return max(self._low, (at or 0) + 1)
        return self._high if at is None else min(self._high, at - 1)

    def _stretch(self, start: int, length: int) -> "_Stretch | None":
        """What to look through next: the images from where every side has one on; where a side has only a few over a
        longer way, those few. None when nothing is left."""
        sparsest: _Stretch | None = None
        for side in self._sides:
            few = self._few(side, start)
            if not few.ids:
                return None
            start = few.ids[0]
            if sparsest is None or abs(few.end - start) > abs(sparsest.end - start):
                sparsest = few
        if not self._low <= start <= self._high:
            return None
        end = start + self._step * (length - 1)
        if sparsest is not None and (sparsest.end - end) * self._step > 0:
            return _Stretch(start, sparsest.end, sparsest.ids)
        return _Stretch(start, end, ())

    def _few(self, side: Sequence[QuerySet], start: int) -> "_Stretch":
        """The side's next images, and up to where these are all."""
        found: set[int] = set()
        end = self._high if self._step > 0 else self._low
        for rows in side:
            ids = self._next(rows, start)
            found |= set(ids)
            if len(ids) == FEW:
                end = min(end, ids[-1]) if self._step > 0 else max(end, ids[-1])
        inside = (one for one in found if (end - one) * self._step >= 0)
        return _Stretch(start, end, sorted(inside, reverse=self._step < 0))

    def _next(self, rows: QuerySet, start: int) -> list[int]:
        name = "id" if rows.model is Image else "image_id"
        beyond = rows.filter(**{f"{name}__{'gte' if self._step > 0 else 'lte'}": start})
        return list(beyond.order_by(name if self._step > 0 else f"-{name}").values_list(name, flat=True)[:FEW])

    def _matching(self, here: "_Stretch") -> QuerySet:
        if here.ids:
            found = self._images.filter(id__in=here.ids)
        else:
            found = self._images.filter(id__gte=min(here.start, here.end), id__lte=max(here.start, here.end))
        return found.order_by("id" if self._step > 0 else "-id").values_list("pk", flat=True)


@dataclass(frozen=True)
class _Stretch:
    """From `start` to `end`, both included; with `ids`, those alone."""

    start: int
    end: int
    ids: Sequence[int]


def images_walked(*, project: Project, wanted: ImageFilter, user: Person, at_once: int) -> Iterator[Sequence[int]]:
    """Ids of all that the filter lets through, some at a time, newest first; for jobs."""
    walk = Walk(project=project, wanted=wanted, user=user)
    at: int | None = None
    while True:
        walked = walk.found(at=at, most=at_once, seconds=None)
        if walked.ids:
            yield walked.ids
        if walked.at is None:
            return
        at = walked.at


def _next_stretch(stretch: int, seconds: float) -> int:
    """As many images as are looked through in a fiftieth of a second."""
    wanted = int(stretch * STRETCH_SECONDS / max(seconds, 0.001))
    return min(max(wanted, FIRST_STRETCH // 4), 4 * stretch, LONGEST_STRETCH)


def _bounds(project: Project, wanted: ImageFilter) -> tuple[int, int]:
    """The least and the greatest id that the dates allow; a low above the high where they allow none."""
    since, until = days_spanned(wanted)
    images, nothing = project.images, (1, 0)
    ids = images.order_by("-id")
    low = images.filter(added_at__gte=since - SLACK).order_by("added_at") if since else None
    high = images.filter(added_at__lt=until + SLACK).order_by("-added_at") if until else ids
    least = low.values_list("pk", flat=True).first() if low is not None else 1
    greatest = high.values_list("pk", flat=True).first()
    return (max(least - SLACK_ROWS, 1), greatest + SLACK_ROWS) if least and greatest else nothing
