"""Several concepts in one pass: who takes an image is asked for all that is to be asked there (`Project.one_pass`)."""

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from annotator.models import Image, Pair, Prediction, Task

from .selectors import companions_of, tasks_barred, tasks_beside

WORDS = "Same image, in one pass."


def companions_take(*, task: Task, user: AbstractBaseUser) -> None:
    """Lease to the task's holder, for as long as the task, the open tasks of its image that this person may get.

    A pair that nobody has looked at, and nobody was to look at, becomes a task. What somebody else holds stays theirs.
    Call it inside the claim's transaction, with the task as the database has it.
    """
    if not task.project.one_pass or task.lane in Task.BLIND_REASONS:
        return
    _ask_for_unseen(task)
    Task.objects.filter(pk__in=_free(task, user)).update(
        state=Task.State.CLAIMED,
        holder=user,
        attempt=F("attempt") + 1,
        lease_until=task.lease_until,
        updated_at=Now(),
    )
    companions_of(task=task, user=user).update(lease_until=task.lease_until)


def _ask_for_unseen(task: Task) -> None:
    """Tasks for what nobody has looked at; the holdout's pairs are drawn by chance alone."""
    version = task.project.serving_version_id
    open_task = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES)
    unseen = Pair.objects.filter(image=task.pair.image_id, truth=Pair.Truth.UNSEEN).filter(~Exists(open_task))
    asked_for = unseen.filter(concept__retired_at=None).exclude(image__split=Image.Split.HOLDOUT)
    wanted = list(asked_for.order_by("pk").values_list("pk", flat=True))
    seen = Prediction.objects.filter(model_version=version, pair__in=wanted)
    presences = dict(seen.values_list("pair_id", "presence"))
    new = [
        Task(
            project=task.project,
            pair_id=pair_id,
            model_version_id=version,
            lane=Task.Reason.COMPANION,
            reasons=[{"kind": "companion", "value": presences.get(pair_id, 0.0), "words": WORDS}],
            priority=task.priority,
            round=task.round,
        )
        for pair_id in wanted
    ]
    # Somebody who takes another concept of this image now may be quicker: then theirs is the open task.
    Task.objects.bulk_create(new, ignore_conflicts=True)


def _free(task: Task, user: AbstractBaseUser) -> list[int]:
    """One open task a pair that is this person's to take; rows that somebody else is just taking are passed over."""
    waiting = Q(state=Task.State.QUEUED) & (Q(assignee=None) | Q(assignee=user))
    theirs = Q(state=Task.State.RETURNED, author=user)
    beside = tasks_beside(task=task).filter(waiting | theirs).exclude(tasks_barred(user))
    rows = beside.select_for_update(skip_locked=True).order_by("pk").values_list("pair_id", "pk")
    return list(dict(reversed(list(rows))).values())
