"""Approving many answers at once: only such as the serving model agrees with confidently, each decided by itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser

from annotator.common.errors import RoostError
from annotator.models import Annotation, Project, Review

from .bulk_candidates import answer_is_offered
from .decisions import review_check_open, review_decide

MOST = 200
NOT_FOR_BULK = (
    "This one is not for bulk approval (any more): the serving model does not confidently say the same, "
    "or it belongs to what is looked at one by one. Open it and decide there."
)


@dataclass(frozen=True)
class Outcome:
    """What became of one of them; `code` and `message` say why it was skipped."""

    annotation: int
    approved: bool
    code: str = ""
    message: str = ""


def reviews_approve(*, project: Project, reviewer: AbstractBaseUser, annotations: Sequence[int]) -> list[Outcome]:
    """Approve each in a transaction of its own, with its own review and audit record; what can't be is skipped."""
    if len(annotations) > MOST:
        raise RoostError(f"Approve at most {MOST} at once; this is {len(annotations)}.", code="too_many")
    rows = Annotation.objects.filter(pk__in=annotations, task__project=project)
    found = rows.select_related("task__project__serving_version", "pair__image", "author").in_bulk()
    return [_approve(found.get(pk), pk, reviewer) for pk in dict.fromkeys(annotations)]


def _approve(annotation: Annotation | None, pk: int, reviewer: AbstractBaseUser) -> Outcome:
    try:
        if annotation is None:
            raise RoostError("There is no such answer in this project.", code="unknown_annotation")
        review_check_open(annotation=annotation, reviewer=reviewer)
        if not answer_is_offered(answer=annotation):
            raise RoostError(NOT_FOR_BULK, code="not_certain")
        review_decide(annotation=annotation, reviewer=reviewer, decision=Review.Decision.APPROVE, in_bulk=True)
    except RoostError as error:
        return Outcome(pk, approved=False, code=error.code, message=str(error))
    return Outcome(pk, approved=True)
