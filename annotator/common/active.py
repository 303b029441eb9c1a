"""What a project looks for now: retired concepts and their pairs are left out."""

from django.db.models import QuerySet

from annotator.models import Concept, Pair, Project


def concepts_active(*, project: Project) -> QuerySet[Concept]:
    return project.concepts.filter(retired_at=None)


def pairs_active(*, project: Project) -> QuerySet[Pair]:
    """Pairs of what is looked for. Nothing is joined where nothing is retired, so that counts read an index alone."""
    retired = list(project.concepts.exclude(retired_at=None).values_list("pk", flat=True))
    return project.pairs.exclude(concept__in=retired) if retired else project.pairs.all()
