"""What waits for a reviewer, a page at a time."""

from annotator.models import Annotation, Project
from annotator.selectors.access import Person
from annotator.selectors.reviews import annotations_waiting

PAGE = 50


def reviews_page(*, project: Project, user: Person, after: int | None = None) -> tuple[list[Annotation], int | None]:
    """Oldest first, with `.is_own`; and the id to go on from, None at the end."""
    waiting = annotations_waiting(project=project)
    waiting = waiting.filter(pk__gt=after) if after else waiting
    rows = list(waiting.order_by("pk")[: PAGE + 1])
    for row in rows:
        row.is_own = row.author_id == user.pk and not project.self_review_allowed
    return rows[:PAGE], rows[PAGE - 1].pk if len(rows) > PAGE else None
