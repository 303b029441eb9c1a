"""Two people label the same pair without seeing each other: who does, and what becomes of their answers."""

from collections.abc import Sequence

from django.db.models.functions import Now

from annotator.common.agreement import SAME_ANSWER_IOU, overlap
from annotator.common.chance import task_is_drawn
from annotator.models import Annotation, Project, Review, Task

from .pairs import pair_settle
from .review_policy import review_is_due
from .selectors import double_of


def doubles_add(*, project: Project, tasks: Sequence[Task]) -> list[Task]:
    """A double for a share of these: a second task that another person answers unseen; none where fewer than two people
    could do them."""
    if not project.double_share or project.memberships.filter(user__is_active=True).count() < 2:
        return []
    copied = ("project", "pair_id", "model_version", "lane", "reasons", "priority", "price_seconds", "round")
    share = project.double_share
    chosen = [task for task in tasks if task_is_drawn(task_id=task.pk, share=share, draw="double")]
    doubles = [Task(blind=1, twin_of=task, **{name: getattr(task, name) for name in copied}) for task in chosen]
    return Task.objects.bulk_create(doubles)


def double_is_due(*, annotation: Annotation) -> bool:
    """Whether this answer has to wait for a second one or for a reviewer; agreeing ones follow the project's policy."""
    double = double_of(annotation.task)
    if double is None or double.state == Task.State.WITHDRAWN:
        return review_is_due(annotation=annotation)
    other = _waiting_answer(double)
    return other is None or not answers_agree(annotation, other) or review_is_due(annotation=annotation)


def double_approve(*, annotation: Annotation) -> None:
    """The agreeing other answer is approved with this one, by policy; the pair's truth is the first task's answer."""
    double = double_of(annotation.task)
    other = _waiting_answer(double) if double else None
    if double is None or other is None:
        return
    Review.objects.create(annotation=other, reviewer=None, decision=Review.Decision.APPROVE)
    _close(double, Task.State.APPROVED)
    if not double.blind:
        pair_settle(annotation=other)


def double_close(*, task: Task, answer: Annotation) -> None:
    """A reviewer has approved `answer`: the other task of the double is done, approved where it says the same."""
    double = double_of(task)
    if double is None or double.state not in (Task.State.QUEUED, Task.State.SUBMITTED, Task.State.RETURNED):
        return
    other = _waiting_answer(double)
    if other is not None and answers_agree(answer, other):
        Review.objects.create(annotation=other, reviewer=None, decision=Review.Decision.APPROVE)
        _close(double, Task.State.APPROVED)
    else:
        _close(double, Task.State.WITHDRAWN)


def answers_agree(first: Annotation, second: Annotation) -> bool:
    return first.verdict == second.verdict and overlap(first.instances, second.instances) >= SAME_ANSWER_IOU


def _waiting_answer(double: Task) -> Annotation | None:
    """The double's newest answer, if it waits for a decision."""
    if double.state != Task.State.SUBMITTED:
        return None
    return double.annotations.filter(review__isnull=True).order_by("-revision").first()


def _close(double: Task, state: str) -> None:
    Task.objects.filter(pk=double.pk, state=double.state).update(state=state, assignee=None, updated_at=Now())
