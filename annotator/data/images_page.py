"""One page of a project's images, newest first, with what is known about each."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from annotator.common.access import Person
from annotator.models import Image, Pair, Project
from annotator.queue.visibility import pairs_with_visible_truth

from .image_filter import ImageFilter
from .image_walk import Walk

PAGE = 48
# Nothing on the page counts further than this: a count of a million rows takes longer than the page.
COUNTED = 10_000
SOURCES = 100


@dataclass(frozen=True)
class ImagesPage:
    """`more`: the id to go on from, None at the end. `ended_early`: fewer than a page, because looking further would
    take too long; the next page goes on where this one stopped."""

    images: list[Image]
    more: int | None
    ended_early: bool


def images_page(*, project: Project, wanted: ImageFilter, user: Person) -> ImagesPage:
    """Images with `.known` = [Pair, …], whose truth is what this person may know."""
    walked = Walk(project=project, wanted=wanted, user=user).found(at=wanted.before, most=PAGE + 1)
    rows = project.images.in_bulk(walked.ids[:PAGE])
    shown = [rows[pk] for pk in walked.ids[:PAGE] if pk in rows]
    images_known_add(images=shown, project=project, user=user)
    more = walked.ids[PAGE - 1] if len(walked.ids) > PAGE else walked.at
    return ImagesPage(shown, more, walked.ended_early)


def images_known_add(*, images: Sequence[Image], project: Project, user: Person) -> None:
    pairs = Pair.objects.filter(image__in=[image.pk for image in images]).select_related("concept")
    rows = pairs_with_visible_truth(pairs, project=project, user=user).exclude(
        concept__retired_at__isnull=False, visible_truth=Pair.Truth.UNSEEN
    )
    known = defaultdict(list)
    fields = ("image_id", "is_exhaustive", "concept__name", "concept__colour")
    for pair in rows.only(*fields).order_by("concept__category_id"):
        pair.truth = pair.visible_truth
        # Whether every one is drawn would tell of a truth that is kept back.
        pair.is_exhaustive = pair.is_exhaustive or pair.truth != Pair.Truth.PRESENT
        known[pair.image_id].append(pair)
    for image in images:
        image.known = known[image.pk]


@dataclass(frozen=True)
class Tally:
    """A count that stops at COUNTED."""

    count: int

    def __str__(self) -> str:
        return f"{self.count:,}" if self.count <= COUNTED else f"more than {COUNTED:,}"


def split_counts(*, project: Project) -> list[tuple[str, str, Tally]]:
    """(split, its words, images), in the splits' own order."""
    counted = {split: project.images.filter(split=split)[: COUNTED + 1].count() for split in Image.Split.values}
    return [(split, str(words), Tally(counted[split])) for split, words in Image.Split.choices]


def sources_of(*, project: Project) -> list[str]:
    """The first hundred, each found by a seek in the index beyond the one before."""
    found: list[str] = []
    sources = project.images.order_by("source").values_list("source", flat=True)
    while len(found) < SOURCES:
        one = sources.filter(source__gt=found[-1]).first() if found else sources.first()
        if one is None:
            break
        found.append(one)
    return found
