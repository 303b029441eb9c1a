"""How far somebody has come since a moment, such as the midnight where they sit."""

from datetime import datetime

from annotator.common.access import Person
from annotator.models import Annotation, Project


def settled_since(*, project: Project, user: Person, since: datetime) -> int:
    """Tasks that this person has answered since then; one that was reopened counts once."""
    answers = Annotation.objects.filter(author_id=user.pk, task__project=project, created_at__gte=since)
    return answers.values("task").distinct().count()
