"""What waits for a reviewer, oldest first."""

from django.db.models import Exists, OuterRef

from annotator.models import Annotation, Project, Task
from annotator.selectors.access import Person

PAGE = 50


def waiting_reviews(*, project: Project, user: Person, after: int | None = None) -> tuple[list[Annotation], int | None]:
    """Undecided newest revisions with `.is_own`; masks stay in the database. And the id to go on from."""
    # An author may have taken an answer back and sent another: only the newest counts.
    newer = Annotation.objects.filter(task_id=OuterRef("task_id"), revision__gt=OuterRef("revision"))
    waiting = (
        Annotation.objects.filter(task__project=project, task__state=Task.State.SUBMITTED, review__isnull=True)
        .filter(~Exists(newer))
        .select_related("author", "pair__image", "pair__concept", "task")
        .defer("instances", "rejected_proposals", "pair__instances")
    )
    waiting = waiting.filter(id__gt=after) if after else waiting
    rows = list(waiting.order_by("id")[: PAGE + 1])
    for row in rows:
        row.is_own = row.author_id == user.pk and not project.self_review_allowed
    return rows[:PAGE], rows[PAGE - 1].pk if len(rows) > PAGE else None
