"""Splits of a whole project: shared out anew where nothing has used them, and how they lie now."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Count, Q, QuerySet

from annotator.common.active import pairs_active
from annotator.common.audit import audit_record
from annotator.common.batches import batched
from annotator.models import Image, Pair, Project

from .split_moves import uses_of
from .splits import Shares, Tally, Weighed, splits_assign, tally_new

ROWS_A_QUERY = 500


@dataclass(frozen=True)
class Reassigned:
    """`kept`: images that stay where they are: of the holdout, or because training or the gate has read their scene."""

    moved: int
    kept: int
    by_split: dict[str, int]


@dataclass
class _Scene:
    images: list[tuple[int, str, str]] = field(default_factory=list)  # (pk, hash, split)
    strata: Counter = field(default_factory=Counter)


@transaction.atomic
def splits_reassign(*, project: Project, user: AbstractBaseUser | None, shares: Shares) -> Reassigned:
    """Share out the scenes among train, val and test, evenly by concept and presence and by source.

    The holdout stays. So does what a training run or an evaluation has read, and it counts for the shares.
    """
    Project.objects.select_for_update().only("pk").get(pk=project.pk)
    scenes = _scenes(project)
    used = uses_of(project=project, sha256s=(sha for one in scenes.values() for _, sha, _ in one.images))
    kept = {name: one for name, one in scenes.items() if _stays(one, used)}
    tally = _tally(kept)
    weighed = [Weighed(name, len(one.images), one.strata) for name, one in scenes.items() if name not in kept]
    splits = splits_assign(scenes=weighed, shares=shares, tally=tally)
    moved = sum(_write(project, split, [scenes[name] for name in names]) for split, names in _by_split(splits))
    audit_record(project=project, actor=user, action="split.reassign", subject=str(shares), moved=moved)
    by_split = dict(project.images.order_by().values_list("split").annotate(n=Count("id")))
    return Reassigned(moved, sum(len(one.images) for one in kept.values()), by_split)


def _stays(one: _Scene, used: dict[str, tuple[str, ...]]) -> bool:
    return any(sha256 in used or split == Image.Split.HOLDOUT for _, sha256, split in one.images)


def _scenes(project: Project) -> dict[str, _Scene]:
    found: dict[str, _Scene] = defaultdict(_Scene)
    where = {}
    rows = project.images.order_by("pk").values_list("pk", "sha256", "scene", "split", "source")
    for pk, sha256, scene, split, source in rows.iterator():
        one = found[scene or sha256]
        one.images.append((pk, sha256, split))
        one.strata[f"source {source}"] += 1
        where[pk] = one
    settled = pairs_active(project=project).exclude(truth=Pair.Truth.UNSEEN)
    for pk, concept, truth in settled.values_list("image_id", "concept__name", "truth").iterator():
        where[pk].strata[f"{concept} {truth}"] += 1
    return found


def _tally(kept: dict[str, _Scene]) -> Tally:
    """A scene that crosses counts for the first of its images' splits; the holdout counts for none."""
    tally = tally_new()
    for one in kept.values():
        split = one.images[0][2]
        if split != Image.Split.HOLDOUT:
            for stratum, count in one.strata.items():
                tally[stratum][split] += count
    return tally


def _by_split(splits: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    for split in sorted(set(splits.values())):
        yield split, [name for name, where in splits.items() if where == split]


def _write(project: Project, split: str, scenes: list[_Scene]) -> int:
    moving = [pk for one in scenes for pk, _, was in one.images if was != split]
    for some in batched(moving, ROWS_A_QUERY):
        project.images.filter(pk__in=some).update(split=split)
    return len(moving)


@dataclass(frozen=True)
class ShareRow:
    """Of one stratum, or of all: how many images or pairs lie in each split, in the splits' own order."""

    name: str
    kind: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def shares(self) -> list[tuple[str, str, int, float]]:
        """(split, its words, count, per cent)."""
        total = max(self.total, 1)
        named = zip(Image.Split.choices, self.counts, strict=True)
        return [(split, str(words), count, 100 * count / total) for (split, words), count in named]


def split_shares(*, project: Project) -> list[ShareRow]:
    """All images, then each source's, then the settled pairs of each concept, present and absent."""
    return [
        _all_images(project),
        *_rows("source", project.images.exclude(source=""), "source"),
        *_rows("present", pairs_active(project=project).filter(truth=Pair.Truth.PRESENT), "concept__name"),
        *_rows("absent", pairs_active(project=project).filter(truth=Pair.Truth.ABSENT), "concept__name"),
    ]


def _all_images(project: Project) -> ShareRow:
    found = dict(project.images.order_by().values_list("split").annotate(n=Count("id")))
    return ShareRow("All images", "all", tuple(found.get(split, 0) for split in Image.Split.values))


def _rows(kind: str, rows: QuerySet, field_name: str) -> list[ShareRow]:
    split = "split" if rows.model is Image else "image__split"
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for name, where, count in rows.order_by().values_list(field_name, split).annotate(n=Count("id")):
        found[name][where] = count
    return [
        ShareRow(name, kind, tuple(counts.get(split, 0) for split in Image.Split.values))
        for name, counts in sorted(found.items())
    ]


@dataclass(frozen=True)
class SceneCounts:
    """`unknown`: images whose scene was never looked for; `largest`: images of the largest scene."""

    images: int
    scenes: int
    unknown: int
    largest: int

    @property
    def largest_is_heavy(self) -> bool:
        """So much of all that no shares can be kept: a camera that sees one scene."""
        return self.images >= 20 and self.largest * 5 > self.images


def scene_counts(*, project: Project) -> SceneCounts:
    images = project.images.aggregate(n=Count("id"), unknown=Count("id", filter=Q(scene="")))
    sizes = project.images.exclude(scene="").order_by().values("scene").annotate(n=Count("id"))
    largest = sizes.order_by("-n").values_list("n", flat=True).first() or 0
    return SceneCounts(images["n"], sizes.count() + images["unknown"], images["unknown"], largest)
