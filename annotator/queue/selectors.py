"""What a desk needs to know about a task beside its row."""

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from annotator.common.access import Person
from annotator.common.instances import ORIGINS, as_box
from annotator.common.masks import rle_box_xyxy
from annotator.models import Annotation, Draft, Image, Membership, Pair, Prediction, Project, Review, Task

# What the model would draw, however unsure it is that the thing is there at all: the query's own score decides.
PROPOSED_QUERY_SCORE = 0.5


def double_of(task: Task) -> Task | None:
    """The other of two tasks that ask two people about one pair, if there are two."""
    return Task.objects.filter(Q(twin_of=task.pk) | Q(pk=task.twin_of_id)).first()


def double_awaited() -> Exists:
    """Of tasks: whether the other task of its double is still to be answered, as long as the project labels twice at
    all."""
    double = Task.objects.filter(Q(twin_of=OuterRef("pk")) | Q(pk=OuterRef("twin_of")))
    unanswered = (Task.State.QUEUED, Task.State.CLAIMED)
    return Exists(double.filter(state__in=unanswered, project__double_share__gt=0))


def tasks_barred(user: Person) -> Q:
    """Tasks that this person must not get: the other task of the double is theirs, or the answer that is known; and a
    second label, which is asked of annotators alone.

    Correlated subqueries, so that the queue is walked from its top and not read as a whole.
    """
    double = Task.objects.filter(Q(twin_of=OuterRef("pk")) | Q(pk=OuterRef("twin_of")))
    answered = Annotation.objects.filter(task=OuterRef("pk"), author_id=user.pk)
    theirs = double.filter(Q(holder_id=user.pk) | Q(author_id=user.pk) | Q(assignee_id=user.pk) | Exists(answered))
    known = Annotation.objects.filter(pair=OuterRef("pair"), author_id=user.pk)
    annotates = Membership.objects.filter(project=OuterRef("project"), user_id=user.pk, role=Membership.Role.ANNOTATOR)
    second = Q(~Exists(annotates), lane=Task.Reason.SECOND_LABEL)
    return Q(Exists(theirs)) | Q(Exists(known), lane__in=Task.BLIND_REASONS) | second


def pair_is_answered_by(*, pair_id: int, user: Person) -> bool:
    return Annotation.objects.filter(pair=pair_id, author_id=user.pk).exists()


def tasks_beside(*, task: Task) -> QuerySet[Task]:
    """The other concepts' tasks on the same image; one whose truth is known stands alone."""
    pairs = Pair.objects.filter(image=task.pair.image_id).values("pk")
    return Task.objects.filter(pair__in=pairs).exclude(pk=task.pk).exclude(lane__in=Task.BLIND_REASONS)


def companions_of(*, task: Task, user: Person) -> QuerySet[Task]:
    """What this person holds together with the task, in one pass over its image; by the concepts' order."""
    if not task.project.one_pass or task.holder_id != user.pk or task.lane in Task.BLIND_REASONS:
        return Task.objects.none()
    held = tasks_beside(task=task).filter(state=Task.State.CLAIMED, holder_id=user.pk)
    return held.select_related("pair__concept", "model_version").defer("pair__instances").order_by("pair__concept")


def same_pass(*, project: Project, task_id: int | None) -> Q:
    """What is no other work than this task: itself and, in one pass, all of its image."""
    if task_id is None or not project.one_pass:
        return Q(pk=task_id)
    return Q(pair__in=Pair.objects.filter(project=project, image__pairs__tasks=task_id).values("pk"))


def reason_shown(task: Task) -> str:
    """A task with a known answer is shown as an audit, because telling the annotator would make it useless."""
    return Task.Reason.AUDIT if task.lane == Task.Reason.KNOWN_ANSWER else task.lane


def reason_words(task: Task) -> str:
    return str(Task.Reason(reason_shown(task)).label)


def reasons_shown() -> dict[str, str]:
    """Every reason that may be shown to a person, in order, with its words: the one home for pages and scripts."""
    return {key: str(words) for key, words in Task.Reason.choices if key != Task.Reason.KNOWN_ANSWER}


def prediction_of(task: Task) -> Prediction | None:
    """The prediction whose instances the task proposes."""
    return Prediction.objects.filter(pair=task.pair_id, model_version=task.model_version_id).first()


def proposed_instances(prediction: Prediction | None) -> list[dict]:
    """The proposals, best first: a prefix of the prediction's instances, so that indices agree."""
    found = prediction.instances if prediction else []
    return [one for one in found if one["query_score"] >= PROPOSED_QUERY_SCORE]


def begun_with(task: Task) -> list[dict]:
    """What the desk shows of a pair that is open, or not wholly outlined, as instances of an answer to go on from.

    Nothing of a pair whose truth is whole: a task may ask for it as a test. In the holdout no mask that a model drew in
    an imported box: it would judge that model.
    """
    pair = task.pair
    if task.lane in (Task.Reason.KNOWN_ANSWER, Task.Reason.INCOMPLETE) or (
        pair.truth != Pair.Truth.UNSEEN and pair.is_exhaustive
    ):
        return []
    held_out = pair.image.split == Image.Split.HOLDOUT
    known = [as_box(one) for one in pair.instances] if held_out else pair.instances
    return [{**one, "origin": one["origin"] if one["origin"] in ORIGINS else "drawn"} for one in known]


def proposals_of(task: Task) -> list[dict]:
    """What the desk offers to begin with: the model's proposals, or, where a pair is to be completed, what is outlined
    in it already, in the shape of proposals."""
    if task.lane != Task.Reason.INCOMPLETE:
        return proposed_instances(prediction_of(task))
    known = Pair.objects.values_list("instances", flat=True).get(pk=task.pair_id)
    return [
        {
            "mask": one["mask"],
            "box": list(rle_box_xyxy(one["mask"])),
            "score": 1.0,
            "query_score": 1.0,
            "stability": 1.0,
        }
        for one in known
    ]


def draft_of(*, task: Task, user: Person) -> Draft | None:
    return Draft.objects.filter(task=task, user_id=user.pk).first()


def last_annotation(task: Task) -> Annotation | None:
    newest = Annotation.objects.filter(task=task).select_related("author", "review__reviewer").order_by("-revision")
    return newest.first()


def sent_back_review(annotation: Annotation | None) -> Review | None:
    """The review that sent this annotation back, if that is the last word on it."""
    review = getattr(annotation, "review", None)
    return review if review is not None and review.decision == Review.Decision.SEND_BACK else None


def queue_place(task: Task) -> dict[str, Any]:
    """`waiting`: tasks that nobody has taken; `position`: this one counted from the first of its round, 1 on."""
    in_round = Task.objects.filter(project=task.project_id, round=task.round)
    done = in_round.filter(state__in=(Task.State.SUBMITTED, Task.State.APPROVED)).exclude(pk=task.pk)
    waiting = Task.objects.filter(project=task.project_id, state=Task.State.QUEUED).exclude(pk=task.pk)
    return {"waiting": waiting.count(), "position": done.count() + 1}
