"""Blind second labels of the holdout: an annotator answers again, seeing neither the first answer nor a proposal.

Asked for are pairs whose label a model contradicts with confidence, and as many others drawn by chance. Correcting only
what a model contradicts moves its figures up; what the others turn out to be says how much of the rest is wrong.
Reviewers and admins are not asked: they read the reports, in which truth and models' answers stand.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet

from annotator.common.active import pairs_active
from annotator.common.agreement import SAME_ANSWER_IOU, overlap
from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.common.rounds import round_current
from annotator.models import Annotation, Image, Membership, Pair, Project, SecondLabel, Task

MOST = 200
WORDS = "Drawn for a second label that nobody's first answer should colour; so you see no proposals here."


def pairs_askable(*, project: Project) -> QuerySet[Pair]:
    """Wholly labelled holdout pairs that nobody was asked about twice, where an annotator is left who has not answered,
    and a reviewer who could decide on an answer that differs; a drawing's truth can't be wrong."""
    asked = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES)
    again = SecondLabel.objects.filter(task__pair=OuterRef("pk"))
    known = pairs_active(project=project).filter(image__split=Image.Split.HOLDOUT, is_exhaustive=True)
    known = known.exclude(truth=Pair.Truth.UNSEEN).exclude(truth_source=Pair.TruthSource.DRAWN)
    answered = Annotation.objects.filter(pair=OuterRef(OuterRef("pk")), author=OuterRef("user"))
    fresh = Membership.objects.filter(~Exists(answered), project=project, user__is_active=True)
    annotator, deciding = Membership.Role.ANNOTATOR, (Membership.Role.REVIEWER, Membership.Role.ADMIN)
    known = known.filter(~Exists(asked), ~Exists(again), Exists(fresh.filter(role=annotator)))
    return known if project.self_review_allowed else known.filter(Exists(fresh.filter(role__in=deciding)))


@transaction.atomic
def second_labels_queue(*, project: Project, user: AbstractBaseUser, doubted: Collection[int]) -> list[Task]:
    """Queue the doubted pairs, at most 200, and as many others; a pair keeps its truth until an answer that differs is
    approved."""
    Project.objects.select_for_update().only("pk").get(pk=project.pk)
    askable = pairs_askable(project=project)
    chosen = list(askable.filter(pk__in=doubted).order_by("pk").values_list("pk", flat=True)[:MOST])
    if not chosen:
        words = (
            "No doubted label of the holdout can be asked about: each was asked already, or nobody is left for it. "
            "It takes an annotator who has not answered the pair, and a reviewer or admin who has not either."
        )
        raise RoostError(words, code="no_doubts")
    others = askable.exclude(pk__in=doubted).values_list("pk", "image__sha256")
    controls = [pk for pk, _ in sorted(others, key=_draw)[: len(chosen)]]
    tasks = _created(_tasks(project, [*chosen, *controls]))
    SecondLabel.objects.bulk_create(
        [SecondLabel(task=task, is_doubted=task.pair_id in set(chosen)) for task in tasks], batch_size=500
    )
    audit_record(
        project=project,
        actor=user,
        action="second_labels.queue",
        subject=project.name,
        doubted=len(chosen),
        drawn=len(controls),
    )
    return tasks


def _created(tasks: list[Task]) -> list[Task]:
    try:
        return Task.objects.bulk_create(tasks)
    except IntegrityError:  # where the database locks no project's row
        words = "Somebody has just had some of these labelled again; look again."
        raise ConflictError(words, code="already_queued") from None


def _tasks(project: Project, pairs: Collection[int]) -> list[Task]:
    """Alike, and in an order that tells nothing."""
    number = round_current(project=project)
    reasons = [{"kind": "second", "value": 0.0, "words": WORDS}]
    lane = Task.Reason.SECOND_LABEL
    ordered = sorted(pairs, key=lambda pk: _draw((pk, "")))
    return [Task(project=project, pair_id=pk, lane=lane, reasons=reasons, priority=1.0, round=number) for pk in ordered]


def _draw(pair: tuple[int, str]) -> bytes:
    return hashlib.sha256(f"second label {pair[0]} {pair[1]}".encode()).digest()


def second_label_agrees(*, annotation: Annotation) -> bool:
    """Whether a second label says what the pair's truth says."""
    truth = annotation.pair
    return annotation.verdict == truth.truth and overlap(annotation.instances, truth.instances) >= SAME_ANSWER_IOU


def second_label_decided(*, annotation: Annotation) -> bool:
    """Note whether the approved answer changes the pair's truth, and say so."""
    changes = not second_label_agrees(annotation=annotation)
    SecondLabel.objects.filter(task=annotation.task_id).update(changed=changes)
    return changes


@dataclass(frozen=True)
class SecondLabels:
    """Asked, decided and changed, of the pairs that a model contradicted and of those drawn by chance."""

    doubted: tuple[int, int, int] = (0, 0, 0)
    drawn: tuple[int, int, int] = (0, 0, 0)

    @property
    def asked(self) -> int:
        return self.doubted[0] + self.drawn[0]


def second_labels_state(*, project: Project) -> SecondLabels:
    found: dict[bool, list[bool | None]] = {True: [], False: []}
    rows = SecondLabel.objects.filter(task__project=project).exclude(task__state=Task.State.WITHDRAWN)
    for is_doubted, changed in rows.values_list("is_doubted", "changed"):
        found[is_doubted].append(changed)
    return SecondLabels(_counts(found[True]), _counts(found[False]))


def _counts(changes: list[bool | None]) -> tuple[int, int, int]:
    return len(changes), sum(change is not None for change in changes), sum(change is True for change in changes)
