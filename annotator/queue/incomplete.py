"""Pairs in which not every instance is outlined: people complete them, beginning with what is there."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from annotator.common.active import pairs_active
from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.common.rounds import round_current
from annotator.models import Pair, Project, Task

MOST = 500


def pairs_incomplete(*, project: Project) -> QuerySet[Pair]:
    """Present, not all outlined, and nobody asked about them. The holdout's too: no model's proposals are shown."""
    asked = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES)
    found = pairs_active(project=project).filter(truth=Pair.Truth.PRESENT, is_exhaustive=False)
    return found.filter(~Exists(asked)).order_by("pk")


@transaction.atomic
def incomplete_queue(*, project: Project, user: AbstractBaseUser) -> list[Task]:
    """Queue them, at most 500; a pair keeps its truth until the new answer is approved, and is complete from then."""
    found = pairs_incomplete(project=project).select_related("concept")[:MOST]
    number = round_current(project=project)
    tasks = [_task(project, pair, number) for pair in found]
    if not tasks:
        words = "Every settled pair is outlined completely, or waits at a desk already: there is nothing to complete."
        raise RoostError(words, code="nothing_incomplete")
    audit_record(project=project, actor=user, action="incomplete.queue", subject=project.name, pairs=len(tasks))
    return Task.objects.bulk_create(tasks)


def _task(project: Project, pair: Pair, number: int) -> Task:
    """Without a model version: what is outlined already stands where proposals stand (selectors.proposals_of)."""
    count = len(pair.instances)
    here = "One is" if count == 1 else f"{count} are"
    words = f"{here} outlined here, perhaps not every {pair.concept.name}: keep what is right and add the rest."
    reasons = [{"kind": "incomplete", "value": float(count), "words": words}]
    lane = Task.Reason.INCOMPLETE
    return Task(project=project, pair=pair, lane=lane, reasons=reasons, priority=1.0, round=number)
