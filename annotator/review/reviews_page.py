"""What waits for a reviewer, a page at a time."""

from annotator.common.access import Person
from annotator.models import Annotation, Project

from .selectors import annotations_waiting, why_barred

PAGE = 50


def reviews_page(*, project: Project, user: Person, after: int | None = None) -> tuple[list[Annotation], int | None]:
    """Oldest first, with `.barred`, why this person may not decide on it; and the id to go on from, None at the end."""
    waiting = annotations_waiting(project=project)
    waiting = waiting.filter(pk__gt=after) if after else waiting
    rows = list(waiting.order_by("pk")[: PAGE + 1])
    for row in rows:
        row.barred = why_barred(answer=row, user=user, project=project)
    return rows[:PAGE], rows[PAGE - 1].pk if len(rows) > PAGE else None
