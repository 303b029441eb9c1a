"""Who holds which task. A lease is (holder, attempt, lease_until) by the database's clock; attempt is the fence."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.functions import Now

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError
from annotator.models import Annotation, Membership, Project, Task

from .companions import companions_take
from .selectors import companions_of, same_pass, tasks_barred

REOPENABLE = 10
LEASE_LOST = "Your lease on this image has ended and somebody else has it, or it is done. Your work is kept as a draft."


@transaction.atomic
def task_claim(*, project: Project, user: AbstractBaseUser, after_id: int | None = None) -> Task | None:
    """The task this person holds already (other than `after_id`), else the most valuable free one; None without any.

    A desk asks once for the screen and once more, with the screen's task as `after_id`, for the next: so nobody holds
    more than two; in one pass, more than two images, each with all its companions.
    """
    # One claim at a time a person: two tabs must not take two tasks each.
    Membership.objects.select_for_update().get(project=project, user=user)
    leases_lapsed_end(project=project)
    on_screen = same_pass(project=project, task_id=after_id)
    if held := _held(project, user).exclude(on_screen).first():
        Task.objects.filter(pk=held.pk).update(lease_until=_lease_end())
        return _with_companions(held, user)
    while candidate := _candidate(project, user, on_screen):
        if _take(candidate, user):
            return _with_companions(candidate, user)
    return None


def task_heartbeat(*, task: Task, user: AbstractBaseUser, attempt: int) -> Task:
    """Prolong the lease, and its companions'; 409 when it is somebody else's by now."""
    if not _own(task, user, attempt).update(lease_until=_lease_end()):
        raise ConflictError(LEASE_LOST, code="lease_lost")
    companions_of(task=task, user=user).update(lease_until=_lease_end())
    return _whole(task.pk)


@transaction.atomic
def task_release(*, task: Task, user: AbstractBaseUser, attempt: int) -> None:
    """Give the task back to where it came from, and its companions with it."""
    _put_back_all(task, user, _own(task, user, attempt))


@transaction.atomic
def task_skip(*, task: Task, user: AbstractBaseUser, attempt: int, reason: str) -> None:
    """Give the task and its companions back, behind the others."""
    freed = _put_back_all(task, user, _own(task, user, attempt))
    Task.objects.filter(pk__in=freed).update(skips=F("skips") + 1, assignee=None)
    audit_record(project=task.project, actor=user, action="task.skip", subject=task.pk, reason=reason[:300])


@transaction.atomic
def task_reopen(*, task: Task, user: AbstractBaseUser) -> Task:
    """Take back one of one's last ten submissions that no reviewer has decided on; a prefetched task is freed.

    In one pass: one of one's last ten images, with all that is not decided there.
    """
    together = _reopenable(task, user)
    if not together:
        message = "Only your last ten submissions can be reopened, and only until a reviewer has decided on them."
        raise ConflictError(message, code="not_reopenable")
    held = _held(task.project, user)
    screen = held.first()
    for surplus in held.exclude(same_pass(project=task.project, task_id=screen.pk)) if screen else ():
        _put_back(surplus, Task.objects.filter(pk=surplus.pk))
    if not _take(task, user):
        raise ConflictError("A reviewer was quicker: this task is decided.", code="already_reviewed")
    for companion in Task.objects.filter(pk__in=together).exclude(pk=task.pk):
        _take(companion, user)
    return _whole(task.pk)


@transaction.atomic
def lease_release_by_admin(*, task: Task, admin: AbstractBaseUser) -> None:
    """Free a task that somebody sits on, and its companions; their drafts stay."""
    holder = task.holder.get_username() if task.holder else ""
    _put_back_all(task, task.holder, Task.objects.filter(pk=task.pk, state=Task.State.CLAIMED))
    audit_record(project=task.project, actor=admin, action="task.free", subject=task.pk, holder=holder)


def leases_lapsed_end(*, project: Project) -> None:
    """Put back every task whose lease is over or whose holder is deactivated. Call it inside a transaction."""
    gone = Membership.objects.filter(project=project, user__is_active=False).values("user")
    Task.objects.filter(project=project, assignee__in=gone).update(assignee=None)
    lapsed = Task.objects.filter(project=project, state=Task.State.CLAIMED).filter(
        Q(lease_until__lte=Now()) | Q(holder__is_active=False)
    )
    for task in lapsed.select_for_update(skip_locked=True, of=("self",)):
        _put_back(task, Task.objects.filter(pk=task.pk, state=Task.State.CLAIMED, attempt=task.attempt))


def task_resting_state(task: Task) -> str:
    """Where a task without a holder belongs: fresh, waiting for review, or sent back."""
    last = Annotation.objects.filter(task=task).select_related("review").order_by("-revision").first()
    if last is None:
        return Task.State.QUEUED
    return Task.State.RETURNED if hasattr(last, "review") else Task.State.SUBMITTED


def _lease_end() -> ExpressionWrapper:
    return ExpressionWrapper(Now() + timedelta(seconds=settings.LEASE_SECONDS), output_field=DateTimeField())


def _held(project: Project, user: AbstractBaseUser) -> QuerySet[Task]:
    """Live leases, the one claimed first on top."""
    return Task.objects.filter(project=project, holder=user, state=Task.State.CLAIMED).order_by("updated_at", "pk")


def _own(task: Task, user: AbstractBaseUser, attempt: int) -> QuerySet[Task]:
    return Task.objects.filter(pk=task.pk, holder=user, attempt=attempt, state=Task.State.CLAIMED)


def _candidate(project: Project, user: AbstractBaseUser, on_screen: Q) -> Task | None:
    """What was sent back to this person, what is kept for them, else the top of the queue, at last what was sent back
    to somebody who works here no more; what others are just taking is passed over."""
    free = Task.objects.filter(project=project).exclude(on_screen).select_for_update(skip_locked=True)
    returned = free.filter(state=Task.State.RETURNED).order_by("skips", "updated_at", "pk")
    not_theirs = ~tasks_barred(user)
    queued = free.filter(not_theirs, state=Task.State.QUEUED).order_by("skips", "-priority", "pk")
    own = returned.filter(author=user).first() or queued.filter(assignee=user).first()
    if found := own or queued.filter(assignee=None).first():
        return found
    here = Membership.objects.filter(project=project, user__is_active=True)
    return returned.exclude(author__in=here.values("user")).filter(not_theirs).first()


def _take(task: Task, user: AbstractBaseUser) -> bool:
    """One filtered UPDATE decides the race on every database, also where SKIP LOCKED is silently dropped (SQLite)."""
    unchanged = Task.objects.filter(pk=task.pk, state=task.state, attempt=task.attempt)
    changed = unchanged.update(
        state=Task.State.CLAIMED, holder=user, attempt=F("attempt") + 1, lease_until=_lease_end(), updated_at=Now()
    )
    return changed == 1


def _with_companions(task: Task, user: AbstractBaseUser) -> Task:
    leased = _whole(task.pk)
    companions_take(task=leased, user=user)
    return leased


def _reopenable(task: Task, user: AbstractBaseUser) -> list[int]:
    """The task, in one pass with its image's others, if it is among the person's last ten; nothing otherwise.

    Never a second label: that it can be taken back would tell that it differs from the first.
    """
    sent = Task.objects.filter(project=task.project, state=Task.State.SUBMITTED, author=user).order_by("-updated_at")
    sent = sent.exclude(lane=Task.Reason.SECOND_LABEL)
    last: dict[int, list[int]] = {}
    for task_id, image_id in sent.values_list("pk", "pair__image_id").iterator(chunk_size=100):
        place = image_id if task.project.one_pass else task_id
        if place not in last and len(last) == REOPENABLE:
            break
        last.setdefault(place, []).append(task_id)
    return next((together for together in last.values() if task.pk in together), [])


def _put_back_all(task: Task, user: AbstractBaseUser | None, still: QuerySet[Task]) -> list[int]:
    """End the lease, 409 when it is gone, and those that came with it; the tasks that were freed."""
    companions = list(companions_of(task=task, user=user)) if user else []
    _put_back(task, still)
    for one in companions:
        unchanged = Task.objects.filter(pk=one.pk, state=Task.State.CLAIMED, attempt=one.attempt)
        unchanged.update(state=task_resting_state(one), holder=None, lease_until=None, updated_at=Now())
    return [task.pk, *(one.pk for one in companions)]


def _put_back(task: Task, still: QuerySet[Task]) -> None:
    """End the lease if the filtered row is still there; 409 otherwise."""
    if not still.update(state=task_resting_state(task), holder=None, lease_until=None, updated_at=Now()):
        raise ConflictError(LEASE_LOST, code="lease_lost")


def _whole(task_id: int) -> Task:
    return Task.objects.select_related("project", "pair__image", "pair__concept", "model_version").get(pk=task_id)
