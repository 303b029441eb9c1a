"""Giving a task to a certain person."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models.functions import Now

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.models import Membership, Task

from .leases import leases_lapsed_end, task_resting_state
from .selectors import companions_of, tasks_barred

State = Task.State
GIVEABLE = (State.QUEUED, State.CLAIMED, State.RETURNED)
NOT_OPEN = "This task is not waiting, held or sent back, so there is nothing to give to somebody."


@transaction.atomic
def task_reassign(*, task: Task, member: AbstractBaseUser, user: AbstractBaseUser) -> Task:
    """Keep a waiting or held task for a member: it is the next that they get, and nobody else gets it.

    A holder loses the lease and keeps the draft; a correction changes its author. What the holder has beside it, in
    one pass over the image, goes along.
    """
    if not Membership.objects.filter(project=task.project, user=member, user__is_active=True).exists():
        raise RoostError(f"{member.get_username()} is not a member here.", fields={"member": ["No member."]})
    leases_lapsed_end(project=task.project)
    task = Task.objects.select_for_update(of=("self",)).select_related("project", "holder").get(pk=task.pk)
    holder = task.holder.get_username() if task.holder else ""
    companions = list(companions_of(task=task, user=task.holder)) if task.holder else []
    state = task_resting_state(task) if task.state == State.CLAIMED else task.state
    if state == State.SUBMITTED:
        raise ConflictError("There is an answer, which waits for review; review it first.", code="not_open")
    if not Task.objects.filter(pk=task.pk).exclude(tasks_barred(member)).exists():
        words = f"{member.get_username()} has the other half of this pair, whose two answers must be two people's."
        raise ConflictError(words, code="own_twin")
    owner = {"author": member} if state == State.RETURNED else {"assignee": member}
    still = Task.objects.filter(pk=task.pk, attempt=task.attempt, state__in=GIVEABLE)
    if not still.update(state=state, holder=None, lease_until=None, updated_at=Now(), **owner):
        raise ConflictError(NOT_OPEN, code="not_open")
    for companion in companions:
        _give_along(companion, member)
    details = {"member": member.get_username(), "holder": holder}
    audit_record(project=task.project, actor=user, action="task.reassign", subject=task.pk, **details)
    task.refresh_from_db()
    return task


def _give_along(task: Task, member: AbstractBaseUser) -> None:
    """A companion task goes to the same member if allowed; otherwise it goes back to the queue."""
    state = task_resting_state(task)
    is_allowed = Task.objects.filter(pk=task.pk).exclude(tasks_barred(member)).exists()
    owner = {State.QUEUED: "assignee", State.RETURNED: "author"}.get(State(state))
    given = {owner: member} if owner and is_allowed else {}
    still = Task.objects.filter(pk=task.pk, state=State.CLAIMED, attempt=task.attempt)
    still.update(state=state, holder=None, lease_until=None, updated_at=Now(), **given)
