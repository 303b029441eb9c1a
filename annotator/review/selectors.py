"""What waits for a reviewer, and how far it is from what the model proposed."""

from collections.abc import Sequence

import numpy as np
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from annotator.common.access import Person
from annotator.common.masks import decode_rle
from annotator.models import Annotation, Project, Task
from annotator.queue.selectors import double_awaited, pair_is_answered_by


def annotations_waiting(*, project: Project) -> QuerySet[Annotation]:
    """The newest revisions without a decision, oldest first; a reopened one counts again once its lease is over.

    Of a double neither shows before both have answered. `.is_double`: there are two, and
    `.first_author`, `.second_author` gave them.
    """
    lapsed = Q(task__state=Task.State.CLAIMED, task__lease_until__lte=Now())
    newer = Annotation.objects.filter(task=OuterRef("task"), revision__gt=OuterRef("revision"))
    return (
        Annotation.objects.filter(Q(task__state=Task.State.SUBMITTED) | lapsed, task__project=project)
        .filter(~Exists(newer), review__isnull=True, task__in=Task.objects.filter(~double_awaited(), project=project))
        .annotate(
            is_double=Q(task__twin_of__isnull=False) | Q(task__twin__isnull=False),
            first_author=F("task__twin_of__author"),
            second_author=F("task__twin__author"),
        )
        .select_related("author", "pair__image", "pair__concept", "task")
        .defer("instances", "rejected_proposals", "pair__instances")
        .order_by("created_at", "pk")
    )


def why_barred(*, answer: Annotation, user: Person, project: Project) -> str | None:
    """Why this person may not decide on a waiting answer, in the words of the list; None if they may."""
    if project.self_review_allowed:
        return None
    if answer.author_id == user.pk:
        return "your own"
    is_theirs = user.pk in (answer.first_author, answer.second_author)
    if answer.task.lane == Task.Reason.SECOND_LABEL:
        is_theirs = pair_is_answered_by(pair_id=answer.pair_id, user=user)
    return "you gave the other answer" if is_theirs else None


def masks_difference(*, before: Sequence[dict], after: Sequence[dict]) -> dict | None:
    """All proposed pixels against all answered ones: {iou, added_px, removed_px}; None when both are empty."""
    if not before and not after:
        return None
    size = (before or after)[0]["size"]
    first, second = (_union(rles, size) for rles in (before, after))
    union = int((first | second).sum())
    return {
        "iou": float((first & second).sum() / union) if union else 1.0,
        "added_px": int((second & ~first).sum()),
        "removed_px": int((first & ~second).sum()),
    }


def _union(rles: Sequence[dict], size: Sequence[int]) -> np.ndarray:
    union = np.zeros(size, dtype=bool)
    for rle in rles:
        union |= decode_rle(rle)
    return union
