"""Two names of one thing become one concept. Nothing that people said is lost: the name that goes keeps its pairs."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now

from annotator.common.audit import audit_record
from annotator.common.batches import batched
from annotator.common.errors import ConflictError, RoostError
from annotator.common.instances import ORIGINS
from annotator.common.masks import rle_iou
from annotator.common.rounds import round_current
from annotator.models import Annotation, Concept, Image, Pair, Task
from annotator.models.annotations import Verdict

from .selectors import (
    MergePlan,
    merge_plan,
    pairs_in_conflict,
    pairs_moved,
    pairs_together,
    tasks_in_the_way,
    tasks_made_void,
)
from .services import concept_locked, tasks_withdraw

Twice: TypeAlias = tuple[Pair, Pair]

# From this overlap on two masks are one object that was drawn under both names.
SAME_OBJECT_IOU = 0.9
ROWS_A_WRITE = 500
MOVED = (
    "truth",
    "truth_source",
    "instances",
    "is_exhaustive",
    "round",
    "settled_at",
    "hard_negative",
    "settled_by_import",  # so that its undo takes it back here too
    "vouched_by_import",
    "settled_by",
)


@transaction.atomic
def concept_merge(*, concept: Concept, into: Concept, user: AbstractBaseUser) -> MergePlan:
    """Make `concept` one with `into`, image by image; what was done, in counts.

    Known under one name alone: that holds. Both present: the instances together wait for review. Present and absent:
    back into the queue for a person. Reopened pairs count as not looked at until then. `concept` is retired, keeps
    what was known as history, and its name becomes a synonym. 409 while a task that would change is in hand.
    """
    into = concept_locked(into)
    concept = Concept.objects.select_related("project").get(pk=concept.pk)
    _check(concept, into)
    plan = merge_plan(concept=concept, into=into)
    tasks_withdraw(tasks_made_void(concept, into))
    # After withdrawing: whoever took a task before that shows up here.
    if in_hand := tasks_in_the_way(concept, into).count():
        words = f"{in_hand} tasks of these images are in hand, sent back or wait for review. Have them reviewed or "
        raise ConflictError(f"{words}released first; retiring «{concept.name}» stops new ones.", code="work_in_hand")
    together = _twice_known(pairs_together(concept, into), concept)
    conflicts = _twice_known(pairs_in_conflict(concept, into), concept)
    _move(concept, into)
    number = round_current(project=into.project)
    _ask_review(together, number, user)
    _ask_again(conflicts, number, user)
    _reopen([pair for pair, _ in together + conflicts])
    _close(concept, into)
    details = asdict(plan) | {"into": into.name}
    audit_record(project=into.project, actor=user, action="concept.merge", subject=concept.name, **details)
    return plan


def _check(concept: Concept, into: Concept) -> None:
    if concept.pk == into.pk or concept.project_id != into.project_id:
        raise RoostError("A concept is merged into another one of its project.", fields={"into": ["Choose another."]})
    if concept.merged_into_id or into.retired_at:
        gone = concept if concept.merged_into_id else into
        raise ConflictError(f"«{gone.name}» is retired.", code="retired")


def _twice_known(pairs: QuerySet[Pair], concept: Concept) -> list[Twice]:
    """(the pair that stays, the old name's) for every image on which both speak."""
    rows = list(pairs.select_related("image", "concept", "project__serving_version"))
    others = Pair.objects.filter(concept=concept, image__in=pairs.values("image")).select_related("concept")
    by_image = {other.image_id: other for other in others}
    return [(pair, by_image[pair.image_id]) for pair in rows]


def _move(concept: Concept, into: Concept) -> None:
    """What is known under the old name alone, in one statement."""
    known = Pair.objects.filter(concept=concept, image=OuterRef("image"))
    values = {name: Subquery(known.values(name)) for name in MOVED}
    Pair.objects.filter(pk__in=pairs_moved(concept, into).values("pk")).update(**values)


def _ask_review(together: Sequence[Twice], number: int, user: AbstractBaseUser) -> None:
    """Both present: what was drawn under either name, an object drawn under both once."""
    tasks, marked = [], []
    for pair, other in together:
        words = f"«{other.concept.name}» and «{pair.concept.name}» became one: look whether each object is there once"
        if not (pair.is_exhaustive and other.is_exhaustive):
            words += ". Not all may be outlined: add what is missing before you approve"
        tasks.append(_task(pair, number, words, state=Task.State.SUBMITTED, author=user))
        marked.append(pair.instances + [one for one in other.instances if not _drawn_among(one, pair.instances)])
    _answer(Task.objects.bulk_create(tasks, batch_size=ROWS_A_WRITE), marked, user)


def _ask_again(conflicts: Sequence[Twice], number: int, user: AbstractBaseUser) -> None:
    """One present, one absent. Masks that no answer holds are kept as the answer of a withdrawn task."""
    kept = [
        pair
        for pair, _ in conflicts
        if pair.truth == Pair.Truth.PRESENT and pair.truth_source != Pair.TruthSource.ANNOTATED
    ]
    words = "Kept from before it was merged with another concept"
    tasks = [_task(pair, number, words, state=Task.State.WITHDRAWN) for pair in kept]
    _answer(Task.objects.bulk_create(tasks, batch_size=ROWS_A_WRITE), [pair.instances for pair in kept], user)
    asked = [_task(pair, number, _conflict_words(pair, other)) for pair, other in conflicts]
    Task.objects.bulk_create(asked, batch_size=ROWS_A_WRITE)


def _conflict_words(pair: Pair, other: Pair) -> str:
    said = {one.truth: one.concept.name for one in (pair, other)}
    present, absent = said[Pair.Truth.PRESENT], said[Pair.Truth.ABSENT]
    return f"«{present}» was marked here and «{absent}» ruled out; the two are one now"


def _task(pair: Pair, number: int, words: str, **fields: Any) -> Task:
    """By hand, so that mining leaves it; on the holdout without proposals, as ever there."""
    version = None if pair.image.split == Image.Split.HOLDOUT else pair.project.serving_version
    return Task(
        project=pair.project,
        pair=pair,
        lane=Task.Reason.MANUAL,
        model_version=version,
        reasons=[{"kind": "merge", "value": 0.0, "words": words}],
        priority=1.0,
        round=number,
        **fields,
    )


def _answer(tasks: Sequence[Task], instances: Sequence[list[dict]], user: AbstractBaseUser) -> None:
    rows = [
        Annotation(
            task=task,
            pair=task.pair,
            author=user,
            revision=1,
            client_uuid=uuid.uuid4(),
            verdict=Verdict.PRESENT,
            instances=[_as_answered(one) for one in marked],
        )
        for task, marked in zip(tasks, instances, strict=True)
    ]
    Annotation.objects.bulk_create(rows, batch_size=ROWS_A_WRITE)


def _as_answered(instance: dict) -> dict:
    """In the shape of answers, which know no «imported»."""
    shaped = {"origin": "drawn", "prompts": [], "model_version": None, "score": None, "edited": False, **instance}
    return shaped if shaped["origin"] in ORIGINS else shaped | {"origin": "drawn"}


def _drawn_among(instance: dict, others: Sequence[dict]) -> bool:
    return any(rle_iou(instance["mask"], other["mask"]) >= SAME_OBJECT_IOU for other in others)


def _reopen(pairs: Sequence[Pair]) -> None:
    for some in batched(pairs, ROWS_A_WRITE):
        Pair.objects.filter(pk__in=[pair.pk for pair in some]).update(
            truth=Pair.Truth.UNSEEN,
            truth_source="",
            instances=[],
            is_exhaustive=True,
            settled_at=None,
            settled_by=None,
            hard_negative=False,
        )


def _close(concept: Concept, into: Concept) -> None:
    """The old name stays as a synonym, its row and category number as they are."""
    names = [*into.synonyms, concept.name, *concept.synonyms]
    into.synonyms = [name for name in dict.fromkeys(names) if name != into.name]
    into.save(update_fields=["synonyms"])
    Concept.objects.filter(pk=concept.pk).update(retired_at=Coalesce("retired_at", Now()), merged_into=into)
