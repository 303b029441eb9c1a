"""How an approved annotation becomes the pair's truth."""

from django.db.models import Exists
from django.db.models.functions import Now

from annotator.models import Annotation, LabelStudioAnswer, Pair, Task
from annotator.models.annotations import Verdict

from .candidates import PRESENCE_SCORE
from .second_labels import second_label_decided


def pair_settle(*, annotation: Annotation) -> None:
    """Write the annotation's verdict and masks down as the pair's truth. Call it inside the review's transaction.

    Where the answer was known before, that stays the truth, and so it does where a second label agrees with it. Every
    instance is outlined from then on, because that is what the desk asks for; only what a Label Studio sent for which
    nobody vouches stays open.
    """
    lane = annotation.task.lane
    if lane == Task.Reason.KNOWN_ANSWER or (
        lane == Task.Reason.SECOND_LABEL and not second_label_decided(annotation=annotation)
    ):
        return
    present = annotation.verdict == Verdict.PRESENT
    # Where a pair was to be completed, people's own outlines stood in the proposals' place: to reject one is no firing.
    rejected = annotation.task.lane != Task.Reason.INCOMPLETE and bool(annotation.rejected_proposals)
    fired = rejected or _fired(annotation.pair)
    Pair.objects.filter(pk=annotation.pair_id).update(
        truth=Pair.Truth.PRESENT if present else Pair.Truth.ABSENT,
        truth_source=Pair.TruthSource.ANNOTATED,
        instances=annotation.instances,
        is_exhaustive=not (present and _is_unvouched(annotation)),
        settled_by_import=None,
        vouched_by_import=None,
        settled_by=annotation,
        round=annotation.task.round,
        settled_at=Now(),
        hard_negative=fired and not present,
    )


def pair_answers_compare(*, annotation: Annotation) -> None:
    """Note on the pair that its answers differ, if this stored one contradicts another: so the gallery finds it."""
    others = Annotation.objects.filter(pair=annotation.pair_id).exclude(verdict=annotation.verdict)
    Pair.objects.filter(Exists(others), pk=annotation.pair_id, answers_differ=False).update(answers_differ=True)


def _is_unvouched(annotation: Annotation) -> bool:
    """Whether it came as it is from a Label Studio whose link does not say that all is annotated there."""
    return LabelStudioAnswer.objects.filter(annotation=annotation, source__link__exhaustive=False).exists()


def _fired(pair: Pair) -> bool:
    """Whether any model version was sure enough of an instance here to count as a detection."""
    found = pair.predictions.values_list("instances", flat=True)
    return any(instance["score"] >= PRESENCE_SCORE for instances in found for instance in instances)
