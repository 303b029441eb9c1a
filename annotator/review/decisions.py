"""A reviewer's decision: approve, fix and approve, or send back to the author with a comment."""

import uuid
from collections.abc import Sequence

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now

from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.common.instances import instances_from_wire, point_checked, verdict_checked
from annotator.models import Annotation, Pair, Review, Task
from annotator.queue.doubles import double_close
from annotator.queue.leases import leases_lapsed_end
from annotator.queue.pairs import pair_answers_compare, pair_settle
from annotator.queue.selectors import double_of, pair_is_answered_by

from .bulk_candidates import answer_suits_bulk

Decision = Review.Decision


def review_decide(
    *,
    annotation: Annotation,
    reviewer: AbstractBaseUser,
    decision: str,
    comment: str = "",
    pin: dict | None = None,
    verdict: str | None = None,
    instances: Sequence[dict] | None = None,
    in_bulk: bool = False,
) -> Review:
    """Decide once; the later of two reviewers gets 409. `fix` wants a verdict and instances with wire masks.

    `in_bulk`: approved among others, see `bulk_approval.reviews_approve`.
    """
    if decision not in Decision.values:
        raise RoostError("The decision must be approve, fix or send_back.", fields={"decision": ["Unknown."]})
    if decision == Decision.SEND_BACK and not comment.strip():
        raise RoostError("Say what should change: sending back needs a comment.", fields={"comment": ["Empty."]})
    review_check_open(annotation=annotation, reviewer=reviewer)
    review = Review(
        annotation=annotation,
        reviewer=reviewer,
        decision=decision,
        comment=comment.strip(),
        pin=point_checked(pin, where="The pin") if pin is not None else None,
        near_certain=answer_suits_bulk(answer=annotation),
        together=in_bulk,
    )
    fixed = _fixed(annotation, reviewer, verdict, instances) if decision == Decision.FIX else None
    return _store(review, fixed)


def review_check_open(*, annotation: Annotation, reviewer: AbstractBaseUser) -> None:
    """Refuses what this person may not decide on, and what is decided already."""
    _check_not_own(annotation, reviewer)
    if _is_superseded(annotation):
        raise _too_late(annotation)


def _check_not_own(annotation: Annotation, reviewer: AbstractBaseUser) -> None:
    if annotation.author_id == reviewer.pk and not annotation.task.project.self_review_allowed:
        message = "This is your own work; somebody else has to review it (the project's settings can allow it)."
        raise RoostError(message, code="own_work", http_status=403)
    double = double_of(annotation.task)
    other_is_theirs = double is not None and double.author_id == reviewer.pk
    if annotation.task.lane == Task.Reason.SECOND_LABEL:
        other_is_theirs = pair_is_answered_by(pair_id=annotation.pair_id, user=reviewer)
    if other_is_theirs and not annotation.task.project.self_review_allowed:
        message = "You gave the other answer to this pair; somebody else has to choose between the two."
        raise RoostError(message, code="own_work", http_status=403)


def _fixed(
    annotation: Annotation, reviewer: AbstractBaseUser, verdict: str | None, instances: Sequence[dict] | None
) -> Annotation:
    if verdict is None or instances is None:
        raise RoostError("A fix needs the whole answer: a verdict and all instances.")
    return Annotation(
        task=annotation.task,
        pair=annotation.pair,
        author=reviewer,
        client_uuid=uuid.uuid4(),
        verdict=verdict_checked(verdict, instances),
        instances=instances_from_wire(instances, image=annotation.pair.image),
        rejected_proposals=annotation.rejected_proposals,
    )


@transaction.atomic
def _store(review: Review, fixed: Annotation | None) -> Review:
    task_id = review.annotation.task_id
    state = Task.State.RETURNED if review.decision == Decision.SEND_BACK else Task.State.APPROVED
    leases_lapsed_end(project=review.annotation.task.project)
    # The filtered UPDATE comes first: of two reviewers, or of a reviewer and a reopening author, one changes the row.
    waiting = Task.objects.filter(pk=task_id, state=Task.State.SUBMITTED)
    if _is_superseded(review.annotation) or not waiting.update(state=state, skips=0, updated_at=Now()):
        raise _too_late(review.annotation)
    if fixed is not None:
        fixed.revision = review.annotation.revision + 1
        fixed.save(force_insert=True)
        review.fixed = fixed
        pair_answers_compare(annotation=fixed)
    review.save(force_insert=True)
    # What was said of a pair whose answer is known tells of the person, not of the pair.
    if review.decision != Decision.APPROVE and review.annotation.task.lane != Task.Reason.KNOWN_ANSWER:
        Pair.objects.filter(pk=review.annotation.pair_id).update(was_corrected=True)
    if state == Task.State.APPROVED:
        pair_settle(annotation=fixed or review.annotation)
        double_close(task=review.annotation.task, answer=fixed or review.annotation)
    details = {"decision": review.decision, "comment": review.comment, "annotation": review.annotation_id}
    details |= {"together": True} if review.together else {}
    project = review.annotation.task.project
    audit_record(project=project, actor=review.reviewer, action="review.decide", subject=task_id, **details)
    return review


def _is_superseded(annotation: Annotation) -> bool:
    highest = Annotation.objects.filter(task_id=annotation.task_id).aggregate(highest=Max("revision"))["highest"]
    return highest != annotation.revision or Review.objects.filter(annotation=annotation).exists()


def _too_late(annotation: Annotation) -> ConflictError:
    if Review.objects.filter(annotation=annotation).exists():
        return ConflictError(
            "Somebody has decided on this already; your decision was not stored.", code="already_reviewed"
        )
    message = "The author has taken this back to work on it; a new answer will come to the review list."
    return ConflictError(message, code="reopened")
