"""What may be done to many images at once. Each act takes some images, says what it changed, skipped and why, and what
takes it back.

What somebody did after the person who acts had chosen, and what is in somebody's hands, is left alone and told.
"""

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from annotator.common.access import ADMIN, REVIEWER
from annotator.common.active import pairs_active
from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.common.rounds import round_current
from annotator.models import Annotation, BulkAction, Draft, Image, Pair, Prediction, Project, Task
from annotator.queue.submissions import task_submit

from .split_moves import image_split_move, scene_mates

Kind = BulkAction.Kind
ROLES: dict[str, str] = {
    Kind.ABSENT: REVIEWER,
    Kind.QUEUE: REVIEWER,
    Kind.REOPEN: REVIEWER,
    Kind.SPLIT: ADMIN,
    Kind.DELETE: ADMIN,
}
SKIPPED = {
    "newer": "somebody worked on it after you had chosen it",
    "in_work": "it is in the queue, in somebody's hands or waits for review",
    "already_absent": "it is verified absent already",
    "settled_present": "it is settled as present: ask again for it first",
    "settled": "it is settled already: «ask again» queues it",
    "unseen": "nobody has looked at it yet: «queue» asks for it",
    "drawn": "its truth is known from the drawing",
    "same_split": "it is in that split already",
    "split_refused": "its split is in use and stays",
    "no_pair": "it has no such concept",
}


@dataclass(frozen=True)
class Asked:
    """`seen_at`: when the person had the images before them. `concept` None: all that the project looks for."""

    project: Project
    user: AbstractBaseUser
    seen_at: datetime
    concept: int | None = None
    split: str = ""


@dataclass
class Outcome:
    """`inverse`: {what: ids}, of the act's own kind."""

    done: int = 0
    skipped: Counter = field(default_factory=Counter)
    inverse: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


def act_absent(asked: Asked, images: Sequence[int]) -> Outcome:
    """Answer «not in the image» for pairs that nobody has looked at: as the desk does, review policy included."""
    outcome = Outcome()
    pairs = _pairs(asked, images)
    outcome.skipped["no_pair"] += len(images) - len(pairs)
    number = round_current(project=asked.project)
    for pair in pairs:
        why = _why_not_absent(asked, pair)
        if why:
            outcome.skipped[why] += 1
            continue
        task = _answered_absent(asked, pair, number)
        outcome.done += 1
        outcome.inverse["to_review" if task.state == Task.State.SUBMITTED else "tasks"].append(task.pk)
    return outcome


def _why_not_absent(asked: Asked, pair: Pair) -> str:
    tasks = [task for task in pair.tasks.all() if task.state in Task.OPEN_STATES]
    free = [task for task in tasks if _is_free(task, asked.user)]
    if _is_newer(asked, pair):
        return "newer"
    if len(free) < len(tasks) or len(tasks) > 1:
        return "in_work"
    if pair.truth == Pair.Truth.UNSEEN:
        return ""
    return "already_absent" if pair.truth == Pair.Truth.ABSENT else "settled_present"


def _is_free(task: Task, user: AbstractBaseUser) -> bool:
    """Nobody has begun it, it is kept for nobody else, and it asks no second person and nothing known."""
    alone = task.lane not in Task.BLIND_REASONS and not task.blind and not Task.objects.filter(twin_of=task).exists()
    begun = task.drafts.exclude(user_id=user.pk).exists()
    return alone and task.state == Task.State.QUEUED and task.assignee_id in (None, user.pk) and not begun


def _is_newer(asked: Asked, pair: Pair) -> bool:
    if pair.settled_at and pair.settled_at > asked.seen_at:
        return True
    return any(task.author_id and task.updated_at > asked.seen_at for task in pair.tasks.all())


@transaction.atomic
def _answered_absent(asked: Asked, pair: Pair, number: int) -> Task:
    waiting = pair.tasks.filter(state=Task.State.QUEUED).first()
    task = waiting or Task.objects.create(**_new_task(asked, pair, number, "Marked absent in the gallery"))
    lease = timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)
    free = Task.objects.filter(pk=task.pk, state=Task.State.QUEUED)
    free.update(state=Task.State.CLAIMED, holder=asked.user, attempt=F("attempt") + 1, lease_until=lease)
    task = Task.objects.select_related("project", "pair__image", "pair__concept").get(pk=task.pk)
    task_submit(
        task=task,
        user=asked.user,
        attempt=task.attempt,
        client_uuid=uuid.uuid4(),
        verdict="absent",
        instances=[],
        concept=pair.concept.name,
    )
    task.refresh_from_db(fields=["state"])
    return task


def undo_absent(action: BulkAction, user: AbstractBaseUser) -> tuple[int, int]:
    """(taken back, left). The answers stay as history; what a person has decided since, stays decided."""
    ids = action.inverse.get("tasks", []) + action.inverse.get("to_review", [])
    undone = 0
    for task in Task.objects.filter(pk__in=ids).select_related("pair"):
        undone += _undo_one_absent(task, action)
    return undone, len(ids) - undone


@transaction.atomic
def _undo_one_absent(task: Task, action: BulkAction) -> bool:
    last = task.annotations.order_by("-revision").select_related("review").first()
    review = getattr(last, "review", None)
    if last is None or last.author_id != action.user_id or (review is not None and review.reviewer_id):
        return False
    later = Annotation.objects.filter(pair=task.pair_id, pk__gt=last.pk).exists()
    still = Task.objects.filter(pk=task.pk, state=task.state).exclude(state=Task.State.CLAIMED)
    if later or not still.update(state=Task.State.WITHDRAWN, updated_at=Now()):
        return False
    if review is not None:  # by the project's policy it was the truth at once
        settled = Pair.objects.filter(pk=task.pair_id, truth=Pair.Truth.ABSENT)
        unseen = {"truth": Pair.Truth.UNSEEN, "truth_source": "", "instances": [], "hard_negative": False}
        settled.update(**unseen, settled_at=None, settled_by=None)
    return True


def act_queue(asked: Asked, images: Sequence[int]) -> Outcome:
    """Tasks for pairs that nobody has looked at."""
    return _ask(asked, images, f"Queued by hand by {asked.user.get_username()}.", _why_not_queue)


def act_reopen(asked: Asked, images: Sequence[int]) -> Outcome:
    """Tasks for settled pairs; the truth stays until a new answer is approved."""
    return _ask(asked, images, f"{asked.user.get_username()} asks for it again.", _why_not_reopen)


def _why_not_queue(asked: Asked, pair: Pair) -> str:
    return "" if pair.truth == Pair.Truth.UNSEEN else "settled"


def _why_not_reopen(asked: Asked, pair: Pair) -> str:
    if pair.truth == Pair.Truth.UNSEEN:
        return "unseen"
    return "drawn" if pair.truth_source == Pair.TruthSource.DRAWN else ""


@transaction.atomic
def _ask(asked: Asked, images: Sequence[int], words: str, why_not: Callable[[Asked, Pair], str]) -> Outcome:
    outcome, wanted = Outcome(), []
    number = round_current(project=asked.project)
    for pair in _pairs(asked, images):
        why = "newer" if _is_newer(asked, pair) else why_not(asked, pair)
        if any(task.state in Task.OPEN_STATES for task in pair.tasks.all()):
            why = "in_work"
        if why:
            outcome.skipped[why] += 1
        else:
            wanted.append(Task(**_new_task(asked, pair, number, words)))
    created = Task.objects.bulk_create(wanted)
    outcome.done = len(created)
    outcome.inverse["tasks"] += [task.pk for task in created]
    return outcome


def undo_tasks(action: BulkAction, user: AbstractBaseUser) -> tuple[int, int]:
    """Take out of the queue what nobody has begun."""
    ids = action.inverse.get("tasks", [])
    begun = Draft.objects.filter(task=OuterRef("pk"))
    undone = 0
    for start in range(0, len(ids), 500):
        waiting = Task.objects.filter(~Exists(begun), pk__in=ids[start : start + 500], state=Task.State.QUEUED)
        undone += waiting.update(state=Task.State.WITHDRAWN, updated_at=Now())
    return undone, len(ids) - undone


def act_split(asked: Asked, images: Sequence[int]) -> Outcome:
    outcome = Outcome()
    rows = list(asked.project.images.filter(pk__in=images))
    before = dict(scene_mates(project=asked.project, images=rows).values_list("pk", "split"))
    try:
        image_split_move(project=asked.project, images=rows, split=asked.split, user=asked.user)
    except RoostError as error:
        if "split" in (error.fields or {}):
            raise
        outcome.skipped["split_refused"] += len(rows)
        return outcome
    after = dict(asked.project.images.filter(pk__in=before).values_list("pk", "split"))
    for pk, split in before.items():
        if after.get(pk) != split:
            outcome.done += 1
            outcome.inverse[split].append(pk)
        else:
            outcome.skipped["same_split" if split == asked.split else "split_refused"] += 1
    return outcome


def undo_split(action: BulkAction, user: AbstractBaseUser) -> tuple[int, int]:
    """Back to where each was; what was moved again since, stays."""
    undone = left = 0
    for split, ids in action.inverse.items():
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            moved = action.project.images.filter(pk__in=some, split=action.params.get("split")).update(split=split)
            audit_record(project=action.project, actor=user, action="split.undo", subject=split, images=moved)
            undone, left = undone + moved, left + len(some) - moved
    return undone, left


def _pairs(asked: Asked, images: Sequence[int]) -> list[Pair]:
    pairs = pairs_active(project=asked.project).filter(image__in=images)
    pairs = pairs.filter(concept=asked.concept) if asked.concept else pairs
    rows = pairs.select_related("concept", "image").defer("instances").prefetch_related("tasks")
    return list(rows.order_by("image_id", "concept_id"))


def _new_task(asked: Asked, pair: Pair, number: int, words: str) -> dict:
    """By hand, so that mining leaves it; on the holdout without proposals, as ever there."""
    version = None if pair.image.split == Image.Split.HOLDOUT else asked.project.serving_version_id
    seen = Prediction.objects.filter(pair=pair, model_version=version).values_list("presence", flat=True).first()
    return {
        "project": asked.project,
        "pair": pair,
        "lane": Task.Reason.MANUAL,
        "model_version_id": version,
        "reasons": [{"kind": "manual", "value": seen or 0.0, "words": words}],
        "priority": 1.0,
        "round": number,
    }
