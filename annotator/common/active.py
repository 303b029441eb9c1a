"""What a project looks for now: retired concepts, images in the trash and their pairs are left out."""

from django.db.models import QuerySet

from annotator.models import Concept, Image, Pair, Project


def concepts_active(*, project: Project) -> QuerySet[Concept]:
    return project.concepts.filter(retired_at=None)


def pairs_active(*, project: Project) -> QuerySet[Pair]:
    """Pairs of what is looked for. Nothing is joined where nothing is retired or removed, so that counts read an index
    alone."""
    retired = list(project.concepts.exclude(retired_at=None).values_list("pk", flat=True))
    pairs = project.pairs.exclude(concept__in=retired) if retired else project.pairs.all()
    removed = images_removed(project=project)
    return pairs.exclude(image__in=removed.values("pk")) if removed.exists() else pairs


def images_removed(*, project: Project) -> QuerySet[Image]:
    """What is in the trash; `project.images` leaves it out by itself."""
    return Image.with_trash.filter(project=project, removed_at__isnull=False)
