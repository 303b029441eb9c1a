"""What Label Studio's annotators said of one image -> revisions here, on their way to review like any other.

Storing is a reconciliation: what the task says now is compared with what was taken from it before, so that a pull may
be repeated, cut off and begun anew. What is approved stays, whatever happens there; the holdout is not touched.
"""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models.functions import Now

from annotator.common.audit import audit_record
from annotator.common.instances import MAX_INSTANCES
from annotator.common.masks import Rle, rle_area
from annotator.common.rounds import round_current
from annotator.data.formats import label_studio
from annotator.data.formats.records import Category, ImageRecord
from annotator.data.import_truth import concept_map, unknown_in, verdicts_of_record
from annotator.models import Annotation, Image, LabelStudioAnswer, LabelStudioLink, LabelStudioTask, Pair, Task
from annotator.models.annotations import Verdict
from annotator.queue.leases import leases_lapsed_end
from annotator.queue.selectors import tasks_barred
from annotator.queue.submissions import answer_append

from .client import StudioTask

HOLDOUT = "The image is in the holdout, which judges models and takes no answers from Label Studio."
SETTLED = "«{}» is approved here already and stays as it is."
HELD = "«{}» is on somebody's desk here, or kept for somebody; their answer counts."
WAITING = "«{}» has another answer here that waits for a decision; that one stays."
KEPT = "«{}» was withdrawn in Label Studio, but is approved here already: it stays."
REOPENED = "«{}» was withdrawn in Label Studio, but somebody works on it here: it stays."
SECONDS_A_DAY = 24 * 3600.0


@dataclass(frozen=True)
class Answer:
    """What one annotation says of one pair; `number` is Label Studio's id of the annotation."""

    number: int
    person: Any
    author: AbstractBaseUser
    verdict: str
    masks: tuple[Rle, ...]
    seconds: float

    @property
    def content_hash(self) -> str:
        """Who says what; a save in Label Studio that changes neither is none."""
        who = self.person.get("id") if isinstance(self.person, dict) else self.person
        said = [who, self.verdict, [mask["counts"] for mask in self.masks]]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def instances(self) -> list[dict]:
        plain: dict[str, Any] = {"origin": "drawn", "prompts": [], "model_version": None, "score": None}
        return [{"mask": dict(mask), **plain, "edited": False} for mask in self.masks]


@dataclass
class Outcome:
    """`counts` of added, changed, unchanged, withdrawn; `left`: sentences; `unknown`: labels that are no concept."""

    counts: Counter[str] = field(default_factory=Counter)
    left: list[str] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)


def annotation_that_counts(task: StudioTask) -> dict[str, Any] | None:
    """The one called ground truth, else the newest; skipped ones are no answer."""
    usable = [one for one in task.annotations if _is_usable(one)]
    return max(usable, key=lambda one: (bool(one.get("ground_truth")), str(one.get("updated_at"))), default=None)


def _is_usable(annotation: dict[str, Any]) -> bool:
    return (
        type(annotation.get("id")) is int
        and isinstance(annotation.get("result"), list)
        and not annotation.get("was_cancelled")
    )


def answers_read(
    *, link: LabelStudioLink, image: Image, annotation: Mapping[str, Any], author: AbstractBaseUser, outcome: Outcome
) -> dict[int, Answer]:
    """{pair id: answer}; what can't be read leaves its pair open and is told in `outcome`."""
    task = {"data": {"image": image.original_name}, "annotations": [annotation]}
    record, problems = label_studio.read(task, size_px=(image.width, image.height))
    record.incomplete &= {*link.labels}  # choices name other things than classes, too
    outcome.left += [f"Region {problem.where.rpartition(' ')[2]}: {problem.why}" for problem in problems]
    empty = {one.category for one in record.instances if not rle_area(one.mask)}
    record.instances = [one for one in record.instances if one.category not in empty]
    record.unsure |= empty
    outcome.left += [f"«{name}» has a mask without a pixel." for name in sorted(empty)]
    boxed = {one.category for one in record.instances if one.coarse}
    record.instances = [one for one in record.instances if one.category not in boxed]
    record.unsure |= boxed
    outcome.left += [f"«{name}» has a rectangle, which is no mask." for name in sorted(boxed)]
    # Whoever drew something that can't be read did not leave the rest out on purpose.
    vouched = link.exhaustive and not record.unsure and not problems
    verdicts = _verdicts(link, record, vouched, outcome)
    pairs = dict(image.pairs.values_list("concept", "pk"))
    seconds = _seconds(annotation.get("lead_time"))
    person, number = annotation.get("completed_by"), annotation["id"]
    return {
        pairs[concept]: Answer(number, person, author, Verdict.PRESENT if masks else Verdict.ABSENT, masks, seconds)
        for concept, masks in verdicts.items()
        if concept in pairs
    }


def _verdicts(
    link: LabelStudioLink, record: ImageRecord, exhaustive: bool, outcome: Outcome
) -> dict[int, tuple[Rle, ...]]:
    """{concept id: its masks, none where it is absent}."""
    names = {*link.labels, *record.absent, *(one.category for one in record.instances)}
    categories = [Category(0, name) for name in sorted(names)]
    concepts = concept_map(project=link.project, categories=categories, create=False, user=None)
    outcome.unknown.update(unknown_in(record, concepts))
    present, absent = verdicts_of_record(record, concepts, exhaustive)
    if crowded := [concept for concept, masks in present.items() if len(masks) > MAX_INSTANCES]:
        outcome.left += [f"«{concept}» has more than {MAX_INSTANCES} masks." for concept in crowded]
    masks = {concept.pk: tuple(masks) for concept, masks in present.items() if concept not in crowded}
    return masks | {concept.pk: () for concept in absent}


def _seconds(value: Any) -> float:
    """Label Studio's lead time; a tab left open over night is no work."""
    return float(value) if type(value) in (int, float) and 0 <= value <= SECONDS_A_DAY else 0.0


@transaction.atomic
def answers_store(
    *,
    link: LabelStudioLink,
    number: int,
    source: LabelStudioTask | None = None,
    wanted: Mapping[int, Answer],
    outcome: Outcome,
) -> None:
    """Make what is stored of Label Studio's task `number` what it says now: `wanted`, as from `answers_read`."""
    leases_lapsed_end(project=link.project)
    stored = LabelStudioAnswer.objects.filter(source__link=link, source__number=number, withdrawn=False)
    stored = stored.filter(annotation__pair__concept__retired_at=None)  # asked for no more: left in peace
    newest = {row.annotation.pair_id: row for row in stored.select_related("annotation__task").order_by("pk")}
    for pair_id, row in newest.items():
        if pair_id not in wanted:
            _withdraw(row, outcome)
    pairs = Pair.objects.select_related("image", "concept", "project").in_bulk(list(wanted))
    if source is None or not pairs:
        return
    if source.image.split == Image.Split.HOLDOUT:
        outcome.left.append(HOLDOUT)
        return
    for pair_id, pair in pairs.items():
        _store_one(source, pair, wanted[pair_id], newest.get(pair_id), outcome)


def _store_one(
    source: LabelStudioTask, pair: Pair, answer: Answer, last: LabelStudioAnswer | None, outcome: Outcome
) -> None:
    if last is not None and last.content_hash == answer.content_hash:
        LabelStudioAnswer.objects.filter(pk=last.pk).exclude(number=answer.number).update(number=answer.number)
        outcome.counts["unchanged"] += 1
        return
    task, why_not = _task_for(source, pair, answer.author)
    if task is None:
        outcome.left.append(why_not.format(pair.concept.name))
        return
    row = Annotation(
        task=task,
        pair=pair,
        author=answer.author,
        client_uuid=uuid.uuid4(),
        verdict=answer.verdict,
        instances=answer.instances(),
        active_seconds=answer.seconds,
    )
    answer_append(answer=row, label_studio={"task": source.number, "annotation": answer.number})
    LabelStudioAnswer.objects.create(
        source=source, number=answer.number, annotation=row, content_hash=answer.content_hash
    )
    if not source.link.exhaustive:
        # Where no review was due it is settled by now, before anybody could see where it came from (queue/pairs.py).
        Pair.objects.filter(pk=pair.pk, truth=Pair.Truth.PRESENT).update(is_exhaustive=False)
    outcome.counts["changed" if last else "added"] += 1


def _task_for(source: LabelStudioTask, pair: Pair, author: AbstractBaseUser) -> tuple[Task | None, str]:
    """The task that takes the answer: the one it was given to before, a free one, or a new one; else why none does."""
    if pair.truth != Pair.Truth.UNSEEN:
        return None, SETTLED
    tasks = Task.objects.filter(pair=pair, state__in=Task.OPEN_STATES)
    rows = list(tasks.select_for_update(of=("self",)).select_related("project", "pair"))
    free = set(tasks.filter(state=Task.State.QUEUED).exclude(tasks_barred(author)).values_list("pk", flat=True))
    for task in rows:
        if task.state in (Task.State.SUBMITTED, Task.State.RETURNED) and _newest_is_from(source, task):
            return task, ""
    for task in rows:
        if task.pk in free and task.assignee_id in (None, author.pk):
            return task, ""
    if not rows:
        return _new_task(source, pair), ""
    busy = any(task.state in (Task.State.CLAIMED, Task.State.QUEUED) for task in rows)
    return None, HELD if busy else WAITING


def _newest_is_from(source: LabelStudioTask, task: Task) -> bool:
    newest = task.annotations.order_by("-revision").first()
    return newest is not None and LabelStudioAnswer.objects.filter(source=source, annotation=newest).exists()


def _new_task(source: LabelStudioTask, pair: Pair) -> Task:
    words = f"Annotated in Label Studio, task {source.number}."
    return Task.objects.create(
        project=pair.project,
        pair=pair,
        lane=Task.Reason.LABEL_STUDIO,
        reasons=[{"kind": "label_studio", "value": source.number, "words": words}],
        round=round_current(project=pair.project),
    )


def _withdraw(row: LabelStudioAnswer, outcome: Outcome) -> None:
    """Take back an answer that nobody has decided on; the pair is then open again, for mining or another answer."""
    annotation = row.annotation
    task = Task.objects.select_for_update().get(pk=annotation.task_id)
    if task.state in (Task.State.APPROVED, Task.State.CLAIMED):
        words = KEPT if task.state == Task.State.APPROVED else REOPENED
        outcome.left.append(words.format(annotation.pair.concept.name))
        return
    waits = task.state in (Task.State.SUBMITTED, Task.State.RETURNED)
    if waits and task.annotations.order_by("-revision").first() == annotation:
        Task.objects.filter(pk=task.pk).update(state=Task.State.WITHDRAWN, assignee=None, updated_at=Now())
        details = {"label_studio": {"task": row.source.number, "annotation": row.number}}
        audit_record(project=task.project, actor=None, action="task.withdraw", subject=task.pk, **details)
        outcome.counts["withdrawn"] += 1
    earlier = LabelStudioAnswer.objects.filter(source=row.source, annotation__pair=annotation.pair_id)
    earlier.update(withdrawn=True)


def sources_between(*, link: LabelStudioLink, after: int, upto: int | None) -> Sequence[int]:
    """Numbers of Label Studio tasks that something was taken from, of a range that was just listed."""
    rows = LabelStudioTask.objects.filter(link=link, number__gt=after, answers__withdrawn=False)
    rows = rows.filter(number__lte=upto) if upto is not None else rows
    return list(rows.values_list("number", flat=True).distinct().order_by("number"))
