"""What the same gain would have taken in random order, estimated from the audit: tasks that were drawn at random.

An answer counts that changed what the model had said: another verdict, an outline drawn, edited or rejected. The
queue's changes a second over the audit's is how many hours of random order one of the queue's hours is worth. That a
change is worth the same to the model, however its pair was found, is assumed and not measured.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import Q, Sum

from annotator.models import Annotation, Prediction, Project, Task
from annotator.models.annotations import Verdict
from annotator.queue.candidates import PRESENCE_SCORE

NEWEST = 300  # answers of either kind that are looked at
RECENT = 1000  # approved tasks, by which the queue's part of the time is told
LEAST, LEAST_CHANGED = 30, 5
DRAWS, SEED = 1000, 0
# What no model chose for its doubt, and what is asked for another reason than to teach.
NOT_CHOSEN = (
    *Task.BLIND_REASONS,
    *(Task.Reason.AUDIT, Task.Reason.MANUAL, Task.Reason.SUSPECTED_LABEL, Task.Reason.INCOMPLETE),
    *(Task.Reason.LABEL_STUDIO, Task.Reason.COMPANION, Task.Reason.FRAME),
)


@dataclass(frozen=True)
class Yield:
    """Answers with a time, how many of them changed something, and what they took."""

    answers: int
    changed: int
    seconds: float


@dataclass(frozen=True)
class RandomOrder:
    """`ratio`: hours in random order that bring what one hour of the queue does, 95 % interval; None: not to be told
    yet, because `more_audits` (or, with 0, answers of the queue) are needed first. `fixed_share`: of the seconds, what
    any order would have taken, such as the audit and the holdout."""

    queue: Yield
    audit: Yield
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    fixed_share: float = 0.0
    more_audits: int = 0

    def hours(self, spent: float) -> float | None:
        """What so many hours at this desk would have been; None: not to be told yet."""
        return None if self.ratio is None else self.stretched(spent, self.ratio)

    def stretched(self, spent: float, ratio: float | None) -> float:
        """By any ratio of the interval, but for what any order would have taken."""
        assert ratio is not None
        return spent * (self.fixed_share + (1 - self.fixed_share) * ratio)


Answer = tuple[float, bool]


def random_order(*, queue: Sequence[Answer], audit: Sequence[Answer], fixed_share: float = 0.0) -> RandomOrder:
    """(seconds, whether it changed something) of each answer; for the interval answers are drawn anew."""
    sums = _yield(queue), _yield(audit)
    if any(one.answers < LEAST or one.changed < LEAST_CHANGED for one in sums):
        return RandomOrder(*sums, more_audits=_more(sums[1]))
    ratio = _pace(sums[0]) / _pace(sums[1])
    rng = np.random.default_rng(SEED)
    drawn = _drawn_paces(rng, queue) / np.maximum(_drawn_paces(rng, audit), 1e-12)
    low, high = np.quantile(drawn, (0.025, 0.975), method="nearest")
    return RandomOrder(*sums, ratio, float(low), float(high), fixed_share)


def _yield(answers: Sequence[Answer]) -> Yield:
    return Yield(len(answers), sum(changed for _, changed in answers), sum(seconds for seconds, _ in answers))


def _pace(one: Yield) -> float:
    return one.changed / one.seconds


def _more(audit: Yield) -> int:
    """So that it is thirty answers and, at today's share, five changes; 0: the audit has enough."""
    share = audit.changed / audit.answers if audit.changed else None
    wanted = max(LEAST, math.ceil(LEAST_CHANGED / share)) if share else max(LEAST, 2 * audit.answers)
    return max(wanted - audit.answers, 0)


def _drawn_paces(rng: np.random.Generator, answers: Sequence[Answer]) -> np.ndarray:
    told = np.array(answers, float)
    places = rng.integers(0, len(told), (DRAWS, len(told)))
    return told[places, 1].sum(axis=1) / told[places, 0].sum(axis=1)


def random_order_of(*, project: Project) -> RandomOrder:
    """By the newest settled answers of either kind."""
    approved = project.tasks.filter(state=Task.State.APPROVED).order_by("-pk")
    audits = approved.filter(blind=0, lane=Task.Reason.AUDIT).values_list("pk", "pair_id", "model_version_id")
    recent = list(approved.values_list("pk", "pair_id", "model_version_id", "lane", "blind")[:RECENT])
    chosen = [(task, pair, model) for task, pair, model, lane, blind in recent if not blind and lane not in NOT_CHOSEN]
    queue, audit = _answers(chosen[:NEWEST]), _answers(list(audits[:NEWEST]))
    return random_order(queue=queue, audit=audit, fixed_share=_fixed_share([task for task, *_ in recent]))


def _fixed_share(tasks: Sequence[int]) -> float:
    """Of the seconds that went into these tasks, those that the queue's choice had no part in."""
    of_queue = Q(frame_of=None, task__blind=0) & ~Q(task__lane__in=NOT_CHOSEN)
    found = Annotation.objects.filter(task__in=tasks).order_by()
    told = found.aggregate(
        all=Sum("active_seconds", default=0.0), chosen=Sum("active_seconds", filter=of_queue, default=0.0)
    )
    return 1 - told["chosen"] / told["all"] if told["all"] else 0.0


def _answers(asked: Sequence[tuple[int, int, int | None]]) -> list[Answer]:
    """`asked`: (task, pair, version that proposed). The first answer of each: a later one corrects the person, not the
    model. Those without a time are left out."""
    rows = Annotation.objects.filter(
        task__in=[task for task, _, _ in asked], revision=1, scored__isnull=True, frame_of=None
    )
    said = _best_scores({pair for _, pair, _ in asked})
    by_task = {task: (pair, version) for task, pair, version in asked}
    # What the model had said must be known: tasks of the holdout, for one, are asked without it.
    known = [row for row in rows.filter(active_seconds__gt=0) if by_task[row.task_id] in said]
    return [(row.active_seconds, _changed(row, said[by_task[row.task_id]] or 0.0)) for row in known]


def _best_scores(pairs: set[int]) -> dict[tuple[int, int | None], float | None]:
    """{(pair, version): its surest instance's score}; None where it saw none at all."""
    seen = Prediction.objects.filter(pair__in=pairs)
    rows = seen.values_list("pair_id", "model_version_id", "instances__0__score")
    return {(pair, version): best for pair, version, best in rows}


def _changed(row: Annotation, best: float) -> bool:
    there = row.verdict == Verdict.PRESENT
    if there != (best >= PRESENCE_SCORE):
        return True
    if not there:
        return False
    untouched = all(one.get("origin") == "proposal" and not one.get("edited") for one in row.instances)
    return bool(row.rejected_proposals) or not untouched
