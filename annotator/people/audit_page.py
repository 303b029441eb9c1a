"""Who did what, newest first."""

from annotator.models import AuditEvent, Project

PAGE = 100


def audit_page(*, project: Project, before: int | None = None) -> tuple[list[AuditEvent], int | None]:
    """One page, and the id to go on from; None at the end."""
    events = project.audit_events.select_related("actor")
    events = events.filter(id__lt=before) if before else events
    rows = list(events.order_by("-id")[: PAGE + 1])
    return rows[:PAGE], rows[PAGE - 1].pk if len(rows) > PAGE else None
