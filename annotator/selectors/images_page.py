"""One page of a project's images, newest first, with what is known about each."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Case, Count, Exists, OuterRef, QuerySet, Value, When

from annotator.models import Image, Pair, Project, Task

PAGE = 48


@dataclass(frozen=True)
class ImageFilter:
    """Empty strings and None mean all; `before` is the id of the last image of the page before."""

    split: str = ""
    source: str = ""
    truth: str = ""
    concept: int | None = None
    before: int | None = None


def images_page(*, project: Project, wanted: ImageFilter) -> tuple[list[Image], int | None]:
    """Images with `.known` = [Pair, …]; and the id to go on from, None at the end."""
    images = project.images.all()
    images = images.filter(split=wanted.split) if wanted.split else images
    images = images.filter(source=wanted.source) if wanted.source else images
    images = images.filter(id__lt=wanted.before) if wanted.before else images
    if wanted.truth or wanted.concept:
        images = images.filter(Exists(_pairs(wanted)))
    rows = list(images.order_by("-id")[: PAGE + 1])
    shown = rows[:PAGE]
    _add_pairs(shown)
    return shown, shown[-1].pk if len(rows) > PAGE else None


def _pairs(wanted: ImageFilter) -> QuerySet[Pair]:
    pairs = _with_truth_told(Pair.objects.filter(image_id=OuterRef("pk")))
    pairs = pairs.filter(told=wanted.truth) if wanted.truth else pairs
    return pairs.filter(concept_id=wanted.concept) if wanted.concept else pairs


def _with_truth_told(pairs: QuerySet[Pair]) -> QuerySet[Pair]:
    """`.told`: the truth; while a person is asked for a known one, it passes for «not looked at»."""
    tested = Task.objects.filter(pair=OuterRef("pk"), lane=Task.Lane.HONEYPOT, state__in=Task.OPEN_STATES)
    return pairs.annotate(told=Case(When(Exists(tested), then=Value(Pair.Truth.UNSEEN)), default="truth"))


def _add_pairs(images: Sequence[Image]) -> None:
    pairs = Pair.objects.filter(image__in=[image.pk for image in images]).select_related("concept")
    rows = _with_truth_told(pairs).only("image_id", "concept__name", "concept__colour").order_by("concept_id")
    known = defaultdict(list)
    for pair in rows:
        pair.truth = pair.told
        known[pair.image_id].append(pair)
    for image in images:
        image.known = known[image.pk]


def split_counts(*, project: Project) -> list[tuple[str, str, int]]:
    """(split, its words, images), in the splits' own order."""
    found = dict(project.images.order_by().values_list("split").annotate(n=Count("id")))
    return [(split, str(words), found.get(split, 0)) for split, words in Image.Split.choices]


def sources_of(*, project: Project) -> list[str]:
    return list(project.images.order_by("source").values_list("source", flat=True).distinct()[:100])
