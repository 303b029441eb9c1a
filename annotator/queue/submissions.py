"""An annotator's answer to a task: checked, stored once, and on its way to review."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.common.instances import boxes_refused, instances_from_wire, verdict_checked
from annotator.models import Annotation, Concept, Draft, Review, Task

from .doubles import double_approve, double_is_due
from .drafts import draft_keep_submission
from .known_answers import known_answer_score
from .leases import LEASE_LOST
from .pairs import pair_answers_compare, pair_settle


def task_submit(
    *,
    task: Task,
    user: AbstractBaseUser,
    attempt: int,
    client_uuid: uuid.UUID,
    verdict: str,
    instances: Sequence[dict],
    rejected_proposals: Sequence[int] = (),
    active_seconds: float = 0.0,
    concept: str | None = None,
) -> Annotation:
    """Store the answer (`instances` with wire masks) and apply the review policy.

    The same `client_uuid` again answers the same row. After a lapsed lease a task that is still free takes the answer;
    one that somebody holds, or that is done, refuses with 409 `lease_lost`, and the work is kept as a draft. So it is
    with 409 `concept_changed` when the pair's concept is not called `concept`, as the desk showed it, any more.
    """
    # Masks are decoded before the transaction: a writer holds SQLite's only lock.
    answer = Annotation(
        task=task,
        pair=task.pair,
        author=user,
        client_uuid=client_uuid,
        verdict=verdict_checked(verdict, instances),
        instances=instances_from_wire(instances, image=task.pair.image),
        rejected_proposals=_rejected(task, rejected_proposals),
        active_seconds=_seconds(active_seconds),
    )
    boxes_refused(answer.instances, boxes=task.pair.instances)
    try:
        return _store(answer, attempt, concept)
    except ConflictError:
        submission = {"verdict": verdict, "instances": list(instances), "rejected_proposals": list(rejected_proposals)}
        draft_keep_submission(task=task, user=user, submission=submission)
        raise


@transaction.atomic
def _store(answer: Annotation, attempt: int, concept: str | None) -> Annotation:
    """The stored row, new or from an earlier try; 409 when the task is not this person's to answer any more."""
    task = Task.objects.select_for_update().get(pk=answer.task_id)
    earlier = Annotation.objects.filter(task=task, author=answer.author, client_uuid=answer.client_uuid).first()
    if earlier is not None:
        return earlier
    if not _may_answer(task, answer.author, attempt):
        raise ConflictError(LEASE_LOST, code="lease_lost")
    _check_concept(task, concept)
    Draft.objects.filter(task=task, user=answer.author).delete()
    return answer_append(answer=answer)


def answer_append(*, answer: Annotation, **details: Any) -> Annotation:
    """The task's next revision, on its way to review. Call it in a transaction that holds the task's row."""
    task = answer.task
    highest = Annotation.objects.filter(task=task).aggregate(highest=Max("revision"))["highest"] or 0
    answer.revision = highest + 1
    answer.save(force_insert=True)
    pair_answers_compare(annotation=answer)
    details["verdict"] = answer.verdict
    audit_record(project=task.project, actor=answer.author, action="task.submit", subject=task.pk, **details)
    _pass_on(answer)
    return answer


def _check_concept(task: Task, shown: str | None) -> None:
    """Refuse an answer that was given for another concept."""
    name = Concept.objects.get(pairs=task.pair_id).name
    if shown is not None and shown != name:
        words = (
            f"This task asked for “{shown}” and asks for “{name}” now. Your work is kept as a draft: look at it again."
        )
        raise ConflictError(words, code="concept_changed", fields={"was": shown, "now": name})


def _may_answer(task: Task, user: AbstractBaseUser, attempt: int) -> bool:
    if task.state == Task.State.CLAIMED and task.holder_id == user.pk:
        return task.attempt == attempt
    was_handed_out = 1 <= attempt <= task.attempt
    if task.state == Task.State.RETURNED:
        return was_handed_out and task.author_id == user.pk
    return was_handed_out and task.state == Task.State.QUEUED


def _pass_on(annotation: Annotation) -> None:
    """Send the answer to review, or store it as the pair's truth where the policy asks for no review.

    One whose answer was known is scored and goes the same way: if annotators could tell it apart, it would measure
    nothing.
    """
    if annotation.task.lane == Task.Reason.KNOWN_ANSWER:
        annotation.scored = known_answer_score(annotation=annotation)
        annotation.save(update_fields=["scored"])
    due = double_is_due(annotation=annotation)
    if not due:
        Review.objects.create(annotation=annotation, reviewer=None, decision=Review.Decision.APPROVE)
        pair_settle(annotation=annotation)
        double_approve(annotation=annotation)
    Task.objects.filter(pk=annotation.task_id).update(
        state=Task.State.SUBMITTED if due else Task.State.APPROVED,
        author=annotation.author,
        holder=None,
        lease_until=None,
        updated_at=Now(),
    )


def _rejected(task: Task, indices: Sequence[int]) -> list[int]:
    count = _proposed_count(task)
    if any(type(index) is not int or not 0 <= index < count for index in indices):
        raise RoostError(f"rejected_proposals must be indices of this task's {count} proposals, from 0.")
    return sorted(set(indices))


def _proposed_count(task: Task) -> int:
    if task.lane == Task.Reason.INCOMPLETE:
        return len(task.pair.instances)
    prediction = task.pair.predictions.filter(model_version=task.model_version_id).first()
    return len(prediction.instances) if prediction else 0


def _seconds(value: float) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 24 * 3600:
        raise RoostError("active_seconds must be a time between 0 and a day, in seconds.")
    return float(value)
