"""Who did what, newest first."""

import re
from typing import Any

from annotator.models import AuditEvent, Project

PAGE = 100
JOB = re.compile(r"job (\d+)")


def audit_page(*, project: Project, before: int | None = None) -> tuple[list[AuditEvent], int | None]:
    """One page, and the id to go on from; None at the end.

    `.job` of a row: the job that it is about; an import's page can undo it.
    """
    events = project.audit_events.select_related("actor")
    events = events.filter(id__lt=before) if before else events
    rows: list[Any] = list(events.order_by("-id")[: PAGE + 1])
    for row in rows:
        found = JOB.fullmatch(row.subject)
        row.job = int(found[1]) if found else None
    return rows[:PAGE], rows[PAGE - 1].pk if len(rows) > PAGE else None
