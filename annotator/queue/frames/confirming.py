"""Confirming offered frames: each gets an answer of the person who looked, or is skipped with the reason."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from annotator.common.batches import batched
from annotator.common.errors import ConflictError, RoostError
from annotator.common.rounds import round_current
from annotator.models import Annotation, Pair, Prediction, Project, Task

from ..submissions import answer_append
from .offered import Frame, frames_offered_of

MOST = 200
# In one transaction: what is asked about all of them is asked once, and a writer does not keep the others waiting.
AT_ONCE = 16
WORDS = "Looks like a settled frame of the same scene."
NOT_OFFERED = (
    "This one is not offered (any more): somebody has it in hand or has answered it, the serving model sees something "
    "else in it, or the settled answer has changed. It stays where it was."
)


@dataclass(frozen=True)
class Shown:
    """What a person saw: one version's prediction, and the verdict that was offered with it. The two make the answer,
    so that what is stored is what was looked at."""

    prediction: int
    verdict: str


@dataclass(frozen=True)
class Outcome:
    """What became of one of them; `code` and `message` say why it was skipped."""

    prediction: int
    confirmed: bool
    annotation: int | None = None
    code: str = ""
    message: str = ""


def frames_confirm(
    *, project: Project, user: AbstractBaseUser, frames: Sequence[Shown], active_seconds: float = 0.0
) -> list[Outcome]:
    """Answer each with what was offered, or skip it with the reason; `active_seconds` are those of all together."""
    if len(frames) > MOST:
        raise RoostError(f"Confirm at most {MOST} at once; this is {len(frames)}.", code="too_many")
    chosen = list(dict.fromkeys(frames))
    outcomes = []
    for some in batched(chosen, AT_ONCE):
        outcomes += _confirm(project, user, some, active_seconds / len(chosen))
    return outcomes


@transaction.atomic
def _confirm(project: Project, user: AbstractBaseUser, some: Sequence[Shown], seconds: float) -> list[Outcome]:
    """Of two people who confirm at once the second finds, behind the pairs' locks, that they are settled or under
    review."""
    wanted = [shown.prediction for shown in some]
    pairs = Prediction.objects.filter(pk__in=wanted, pair__project=project).values("pair")
    # In one order for all, or two people would wait for each other.
    # Mining queues new tasks of these pairs meanwhile, which a stronger lock would wait for, and it for this one.
    list(Pair.objects.select_for_update(no_key=True).only("pk").filter(pk__in=pairs).order_by("pk"))
    offered = frames_offered_of(project=project, user=user, predictions=wanted)
    return [_outcome(project, user, shown, offered.get(shown.prediction), seconds) for shown in some]


def _outcome(project: Project, user: AbstractBaseUser, shown: Shown, frame: Frame | None, seconds: float) -> Outcome:
    try:
        if frame is None or frame.verdict != shown.verdict:
            raise _refusal(project, shown)
        with transaction.atomic():
            answer = _store(frame, project, user, seconds)
    except RoostError as error:
        return Outcome(shown.prediction, confirmed=False, code=error.code, message=str(error))
    return Outcome(shown.prediction, confirmed=True, annotation=answer.pk)


def _refusal(project: Project, shown: Shown) -> RoostError:
    if Prediction.objects.filter(pk=shown.prediction, pair__project=project).exists():
        return ConflictError(NOT_OFFERED, code="not_offered")
    return RoostError("There is no such prediction in this project.", code="unknown_frame")


def _store(frame: Frame, project: Project, user: AbstractBaseUser, seconds: float) -> Annotation:
    task = Task.objects.select_related("project", "pair__image").get(pk=_task(frame, project).pk)
    is_absent = frame.verdict == Pair.Truth.ABSENT
    answer = Annotation(
        task=task,
        pair=task.pair,
        author=user,
        client_uuid=uuid.uuid4(),
        verdict=frame.verdict,
        instances=frame.instances,
        # As the desk has it: whoever says that it is not in the image rejects what was proposed.
        rejected_proposals=list(range(len(frame.proposals))) if is_absent else [],
        active_seconds=seconds,
        frame_of=frame.settled.settled_by,
    )
    return answer_append(answer=answer, frame_of=frame.settled.settled_by_id)


def _task(frame: Frame, project: Project) -> Task:
    """The queued task, taken from under a claim that is quicker otherwise; a new one where mining queued none."""
    if frame.task is None:
        return _new_task(frame, project)
    waiting = Task.objects.filter(pk=frame.task.pk, state=Task.State.QUEUED, attempt=frame.task.attempt)
    version = frame.prediction.model_version_id
    if not waiting.update(attempt=F("attempt") + 1, model_version=version, updated_at=Now()):
        raise ConflictError(NOT_OFFERED, code="not_offered")
    return frame.task


def _new_task(frame: Frame, project: Project) -> Task:
    try:
        with transaction.atomic():
            return Task.objects.create(
                project=project,
                pair_id=frame.pair.pk,
                model_version=frame.prediction.model_version,
                lane=Task.Reason.FRAME,
                reasons=[{"kind": "frame", "value": frame.prediction.presence, "words": WORDS}],
                round=round_current(project=project),
            )
    except IntegrityError:  # somebody who takes the image in one pass, or mining, was quicker
        raise ConflictError(NOT_OFFERED, code="not_offered") from None
