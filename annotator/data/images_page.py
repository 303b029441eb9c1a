"""One page of a project's images, newest first, with what is known about each."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, QuerySet

from annotator.common.access import Person
from annotator.models import Image, Pair, Project
from annotator.queue.visibility import pairs_with_visible_truth

PAGE = 48


@dataclass(frozen=True)
class ImageFilter:
    """Empty strings and None mean all; `before` is the id of the last image of the page before."""

    split: str = ""
    source: str = ""
    truth: str = ""
    concept: int | None = None
    before: int | None = None


def images_page(*, project: Project, wanted: ImageFilter, user: Person) -> tuple[list[Image], int | None]:
    """Images with `.known` = [Pair, …], whose truth is what this person may know; and the id to go on from."""
    found = images_found(project=project, wanted=wanted, user=user)
    found = found.filter(id__lt=wanted.before) if wanted.before else found
    rows = list(found.order_by("-id")[: PAGE + 1])
    shown = rows[:PAGE]
    _add_pairs(shown, project, user)
    return shown, shown[-1].pk if len(rows) > PAGE else None


def images_found(*, project: Project, wanted: ImageFilter, user: Person) -> QuerySet[Image]:
    """All that the filter lets through."""
    images = project.images.all()
    images = images.filter(split=wanted.split) if wanted.split else images
    images = images.filter(source=wanted.source) if wanted.source else images
    if wanted.truth or wanted.concept:
        images = images.filter(Exists(_pairs(project, wanted, user)))
    return images


def _pairs(project: Project, wanted: ImageFilter, user: Person) -> QuerySet[Pair]:
    pairs = Pair.objects.filter(image_id=OuterRef("pk"))
    if wanted.truth:
        pairs = pairs_with_visible_truth(pairs, project=project, user=user).filter(visible_truth=wanted.truth)
    return pairs.filter(concept_id=wanted.concept) if wanted.concept else pairs


def _add_pairs(images: Sequence[Image], project: Project, user: Person) -> None:
    pairs = Pair.objects.filter(image__in=[image.pk for image in images]).select_related("concept")
    rows = pairs_with_visible_truth(pairs, project=project, user=user).exclude(
        concept__retired_at__isnull=False, visible_truth=Pair.Truth.UNSEEN
    )
    known = defaultdict(list)
    for pair in rows.only("image_id", "concept__name", "concept__colour").order_by("concept__category_id"):
        pair.truth = pair.visible_truth
        known[pair.image_id].append(pair)
    for image in images:
        image.known = known[image.pk]


def split_counts(*, project: Project) -> list[tuple[str, str, int]]:
    """(split, its words, images), in the splits' own order."""
    found = dict(project.images.order_by().values_list("split").annotate(n=Count("id")))
    return [(split, str(words), found.get(split, 0)) for split, words in Image.Split.choices]


def sources_of(*, project: Project) -> list[str]:
    return list(project.images.order_by("source").values_list("source", flat=True).distinct()[:100])
