"""Scenes: the images of a project that show the same thing, so that no scene teaches and judges at once.

Near in look, or fairly alike and taken by the same source within seconds; and what is so to one of them. A scene is
called by the hash of its first image. Why these figures: docs/decisions/0019-groups-and-splits.md.
"""

import threading
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
from django.db import connection

from annotator.models import Project
from toolbox.look import looks_apart

from .looks import ALIKE_BITS, NearLooks, Union, alike_sets, as_numbers, is_telling

SECONDS_APART = 10.0
# Of a burst each is compared with so many after it: a chain is enough.
NEXT_COMPARED = 8


@dataclass(frozen=True)
class Newcomer:
    """An image that is to get a scene and a split; `split`: asked for by name; `strata`: what is known to be on it."""

    sha256: str
    name: str
    look: str = ""
    captured_at: datetime | None = None
    source: str = ""
    split: str | None = None
    strata: tuple[str, ...] = ()


@dataclass
class SceneMatch:
    """Newcomers that are one scene, and the older scenes of the project that they belong to, the oldest first."""

    members: list[Newcomer]
    older: list[str]

    @property
    def scene(self) -> str:
        return self.older[0] if self.older else min(one.sha256 for one in self.members)


class SceneIndex:
    """What one import needs to find the scenes of its images; read once, then only what was added since."""

    def __init__(self, *, project: Project) -> None:
        self._project = project
        self._turn = threading.Lock()
        self._last = 0
        self._looks = NearLooks()
        self._pks: list[int] = []
        self._taken: dict[str, list[tuple[float, int, str]]] = defaultdict(list)

    def matches(self, newcomers: Sequence[Newcomer]) -> list[SceneMatch]:
        """Each newcomer in one of them. Equal hashes must be one newcomer."""
        with self._turn:
            self._refresh()
            near = {one.sha256: self._near(one) for one in newcomers}
        older = _scenes_by_pk(self._project, {pk for pks in near.values() for pk in pks})
        union: Union[tuple[str, str]] = Union()
        for one in newcomers:
            for pk in near[one.sha256]:
                if pk in older:
                    union.join(("new", one.sha256), ("scene", older[pk]))
        for this, other in _alike_among(newcomers):
            union.join(("new", this), ("new", other))
        return _by_root(newcomers, union, older)

    def _refresh(self) -> None:
        rows = self._project.images.filter(pk__gt=self._last).order_by("pk")
        numbers = []
        for pk, look, captured_at, source in rows.values_list("pk", "look", "captured_at", "source").iterator():
            self._last = pk
            if is_telling(look):
                numbers.append(int(look, 16))
                self._pks.append(pk)
                if captured_at:
                    insort(self._taken[source], (captured_at.timestamp(), pk, look))
        self._looks.add(numbers)

    def _near(self, one: Newcomer) -> list[int]:
        if not is_telling(one.look):
            return []
        found = [self._pks[place] for place in self._looks.near(int(one.look, 16))]
        return found + (self._taken_with(one) if one.captured_at else [])

    def _taken_with(self, one: Newcomer) -> list[int]:
        assert one.captured_at is not None
        at, taken = one.captured_at.timestamp(), self._taken[one.source]
        window = taken[bisect_left(taken, (at - SECONDS_APART,)) : bisect_left(taken, (at + SECONDS_APART, 2**63))]
        return [pk for _, pk, look in window if looks_apart(look, one.look) <= ALIKE_BITS]


def scene_index(*, project: Project) -> SceneIndex:
    """This process's index, kept for whoever adds one image at a time.

    Within somebody else's transaction a new one: should that be undone, its rows' numbers may come again.
    """
    if connection.in_atomic_block:
        return SceneIndex(project=project)
    return _index_kept(project.pk, project.created_at)


@lru_cache(maxsize=4)
def _index_kept(pk: int, created_at: datetime) -> SceneIndex:
    return SceneIndex(project=Project.objects.get(pk=pk, created_at=created_at))


def _scenes_by_pk(project: Project, pks: set[int]) -> dict[int, str]:
    """In the order of their rows; one that was never looked at for its scene is called by its own hash."""
    rows = project.images.filter(pk__in=pks).order_by("pk").values_list("pk", "scene", "sha256")
    return {pk: scene or sha256 for pk, scene, sha256 in rows}


def _alike_among(newcomers: Sequence[Newcomer]) -> Iterator[tuple[str, str]]:
    telling = [one for one in newcomers if is_telling(one.look)]
    rows = [Row(one.sha256, one.look, one.captured_at, one.source) for one in telling]
    for group in scenes_among(rows):
        yield from ((group[0].key, other.key) for other in group[1:])


def _by_root(newcomers: Sequence[Newcomer], union: Union, older: dict[int, str]) -> list[SceneMatch]:
    scenes_of = defaultdict(list)
    for scene in dict.fromkeys(older.values()):
        scenes_of[union.root(("scene", scene))].append(scene)
    members = defaultdict(list)
    for one in newcomers:
        members[union.root(("new", one.sha256))].append(one)
    return [SceneMatch(some, scenes_of.get(root, [])) for root, some in members.items()]


@dataclass(frozen=True)
class Row:
    """As much of an image as says which scene it is of."""

    key: str
    look: str
    captured_at: datetime | None
    source: str


def scenes_among(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows by scene, scenes and rows in the order given."""
    union: Union[int] = Union()
    telling = [place for place, row in enumerate(rows) if is_telling(row.look)]
    sets = alike_sets(as_numbers([rows[place].look for place in telling])) if telling else np.zeros(0, int)
    first: dict[int, int] = {}
    for place, number in zip(telling, sets.tolist(), strict=True):
        union.join(place, first.setdefault(number, place))
    for one, other in _taken_together(rows, telling):
        union.join(one, other)
    found = defaultdict(list)
    for place, row in enumerate(rows):
        found[union.root(place)].append(row)
    return list(found.values())


def _seconds(row: Row) -> float | None:
    return row.captured_at.timestamp() if row.captured_at else None


def _taken_together(rows: Sequence[Row], telling: Sequence[int]) -> Iterator[tuple[int, int]]:
    timed = sorted((rows[place].source, taken, place) for place in telling if (taken := _seconds(rows[place])))
    for start, (source, at, place) in enumerate(timed):
        for other_source, later, other in timed[start + 1 : start + 1 + NEXT_COMPARED]:
            if other_source != source or later - at > SECONDS_APART:
                break
            if looks_apart(rows[place].look, rows[other].look) <= ALIKE_BITS:
                yield place, other


def scene_rename(*, project: Project, old: Sequence[str], new: str) -> None:
    """Older scenes turn out to be one. Where a scene was never written, it is the one image's hash."""
    if old:
        project.images.filter(scene__in=old).update(scene=new)
        project.images.filter(scene="", sha256__in=[*old, new]).update(scene=new)


def splits_by_scene(*, project: Project, scenes: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    known = project.images.filter(scene__in=scenes).order_by().values_list("scene", "split").distinct()
    alone = project.images.filter(scene="", sha256__in=scenes).order_by().values_list("sha256", "split")
    for scene, split in [*known, *alone]:
        found[scene].add(split)
    return found
