"""Which answers may be approved in bulk: those that the serving model confidently agrees with."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import OuterRef, Q, QuerySet, Subquery

from annotator.common.access import Person
from annotator.common.agreement import lowest_matched_iou, wilson_interval
from annotator.common.batches import batched
from annotator.common.chance import task_is_drawn
from annotator.models import Annotation, Image, Prediction, Project, Review, Task
from annotator.models.annotations import Verdict
from annotator.queue.candidates import PRESENCE_SCORE
from annotator.queue.model_errors import LEAST

from .selectors import annotations_waiting, why_barred

BULK_PAGE = 48
# Masks of so many waiting answers are compared for one page at most; the next press goes on where this one ended.
MOST_COMPARED = 400
COMPARED_AT_ONCE = 60
# A second look contradicts somebody already; what was queued by hand is somebody's own question; and that a pair is
# complete now is what a person is asked for.
ONE_BY_ONE = (
    Task.Reason.MANUAL,
    Task.Reason.SUSPECTED_LABEL,
    Task.Reason.INCOMPLETE,
    Task.Reason.SECOND_LABEL,
)


def answers_for_bulk(
    *, project: Project, user: Person, after: int | None = None, without: Sequence[int] = ()
) -> tuple[list[Annotation], int | None]:
    """At most BULK_PAGE answers that this person may approve in bulk, oldest first; and the id to go on from."""
    waiting = _agreeing(project).exclude(pk__in=without).order_by("pk")
    waiting = waiting.filter(pk__gt=after) if after else waiting
    found: list[Annotation] = []
    last = None
    for answers in batched(waiting[:MOST_COMPARED], COMPARED_AT_ONCE):
        predictions = _predictions(project, answers)
        for answer in answers:
            if len(found) == BULK_PAGE:
                return found, last
            last = answer.pk
            is_barred = why_barred(answer=answer, user=user, project=project) or _is_drawn(answer.task_id, project)
            if not is_barred and _agrees(answer, predictions[answer.pair_id], project):
                found.append(answer)
    return found, last if waiting.filter(pk__gt=last or 0).exists() else None


def answer_suits_bulk(*, answer: Annotation) -> bool:
    """Whether the serving model confidently says the same as this waiting answer."""
    project = answer.task.project
    row = _agreeing(project).filter(pk=answer.pk).first()
    return row is not None and _agrees(row, _predictions(project, [row])[row.pair_id], project)


def answer_is_offered(*, answer: Annotation) -> bool:
    """Whether it may be approved in bulk: the model agrees, and it was not drawn to be looked at one by one."""
    return not _is_drawn(answer.task_id, answer.task.project) and answer_suits_bulk(answer=answer)


@dataclass(frozen=True)
class LookedAt:
    """Answers that chance kept back from bulk approval, and how many of them were changed or sent back."""

    changed: int
    total: int

    @property
    def share(self) -> float | None:
        return self.changed / self.total if self.total >= LEAST else None

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.changed, self.total)


def bulk_looked_at(*, project: Project) -> LookedAt:
    """How often an answer of bulk approval is wrong, from the draw alone: what was left out of bulk approval looked
    wrong."""
    looked = Review.objects.filter(annotation__task__project=project, near_certain=True, together=False)
    rows = looked.filter(reviewer__isnull=False).values_list("annotation__task", "decision")
    drawn = [decision for task_id, decision in rows if _is_drawn(task_id, project)]
    return LookedAt(sum(one != Review.Decision.APPROVE for one in drawn), len(drawn))


def _agreeing(project: Project) -> QuerySet[Annotation]:
    """First answers whose verdict the serving model shares with confidence; masks are compared afterwards."""
    seen = Prediction.objects.filter(pair=OuterRef("pair"), model_version=project.serving_version_id)
    present = Q(verdict=Verdict.PRESENT, presence__gte=project.bulk_score)
    absent = Q(verdict=Verdict.ABSENT, presence__lte=1 - project.bulk_score)
    waiting = annotations_waiting(project=project).filter(revision=1, is_double=False)
    # The holdout judges models: none vouches for its labels.
    waiting = waiting.exclude(task__lane__in=ONE_BY_ONE).exclude(pair__image__split=Image.Split.HOLDOUT)
    waiting = waiting.annotate(presence=Subquery(seen.values("presence")[:1])).filter(present | absent)
    return waiting.defer(None).defer("pair__instances")


def _predictions(project: Project, answers: list[Annotation]) -> dict[int, Prediction]:
    pairs = [answer.pair_id for answer in answers]
    rows = Prediction.objects.filter(model_version=project.serving_version_id, pair__in=pairs).defer("feature")
    return {row.pair_id: row for row in rows}


def _is_drawn(task_id: int, project: Project) -> bool:
    """Whether chance keeps it back, to be looked at one by one."""
    return task_is_drawn(task_id=task_id, share=project.bulk_look_share, draw="look")


def _agrees(answer: Annotation, prediction: Prediction, project: Project) -> bool:
    """The model detects as many instances, is sure of each, and draws them alike."""
    detected = [one for one in prediction.instances if one["score"] >= PRESENCE_SCORE]
    masks = [one["mask"] for one in answer.instances]
    if len(masks) != len(detected) or any(one["score"] < project.bulk_score for one in detected):
        return False
    return not masks or lowest_matched_iou(masks, [one["mask"] for one in detected]) >= project.bulk_iou
