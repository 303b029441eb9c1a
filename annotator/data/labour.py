"""What people's labels took: seconds up to a snapshot, and seconds an object and an image, round by round.

Times are what the desk recorded as active; an answer without one (imported, pulled from Label Studio) is counted apart
and never taken for quick.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from django.db.models import Count, Func, IntegerField, Max, Q, QuerySet, Sum

from annotator.models import Annotation, Image, Project, Snapshot, Task

# A round's pace is told from the images of so many of its newest settled tasks: steady when there are 100,000.
NEWEST = 150
ROUNDS = 10  # that are told, the newest
NO_LABEL = (*Task.BLIND_REASONS, Task.Reason.SUSPECTED_LABEL, Task.Reason.INCOMPLETE)


class Length(Func):
    """Of a JSON list, counted by the database: the masks themselves are not read."""

    function = "json_array_length"
    output_field = IntegerField()

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return self.as_sql(compiler, connection, function="jsonb_array_length", **more)


@dataclass(frozen=True)
class Labour:
    """`labels`: pairs that people answered; `answers`: all of theirs, second and known ones and corrections too, of
    which `timed` have a time; `seconds` of these; `through`: the newest answer's id."""

    labels: int = 0
    answers: int = 0
    timed: int = 0
    seconds: float = 0.0
    through: int = 0

    def plain(self) -> dict[str, Any]:
        return dict(vars(self))

    def plus(self, more: "Labour") -> "Labour":
        sums = {name: getattr(self, name) + getattr(more, name) for name in ("labels", "answers", "timed", "seconds")}
        return Labour(**sums, through=max(self.through, more.through))


def labour_of(*, answers: QuerySet[Annotation]) -> Labour:
    """Of these answers; a pair that was corrected or asked about again is one label, a known answer or one of the
    holdout, from which no model learns, is none."""
    makes_label = Q(task__blind=0, revision=1) & ~Q(task__lane__in=NO_LABEL)
    makes_label &= ~Q(pair__image__split=Image.Split.HOLDOUT)
    told = answers.order_by().aggregate(
        labels=Count("pk", filter=makes_label),
        answers=Count("pk"),
        timed=Count("pk", filter=Q(active_seconds__gt=0)),
        seconds=Sum("active_seconds", default=0.0),
        through=Max("pk", default=0),
    )
    return Labour(**told)


def labour_until(*, snapshot: Snapshot) -> Labour:
    """What people had spent when it was taken: kept with it, because answers are appended and never changed."""
    if snapshot.labour:
        return Labour(**snapshot.labour)
    answers = Annotation.objects.filter(task__project=snapshot.project_id, created_at__lte=snapshot.created_at)
    return labour_of(answers=answers)


def labour_since(*, project: Project, labour: Labour) -> Labour:
    """What came after that, by the newest answer's id: a range of the table's own key."""
    return labour_of(answers=Annotation.objects.filter(task__project=project, pk__gt=labour.through))


@dataclass(frozen=True)
class Pace:
    """Seconds of one round. `answers` that they rest on; `untimed` ones beside them are left out."""

    round: int
    answers: int
    untimed: int
    objects: int
    images: int
    object_median: float | None
    object_mean: float | None
    image_median: float | None
    image_mean: float | None


def paces_of(*, project: Project) -> list[Pace]:
    """Of the newest rounds, oldest first; one in which nothing is settled is left out."""
    # The last one by itself: all that there are would be a walk over every task.
    settled = project.tasks.filter(state=Task.State.APPROVED).order_by("-round")
    last = settled.values_list("round", flat=True).first() or 0
    found = (_pace(project, number) for number in range(max(last - ROUNDS, 0) + 1, last + 1))
    return [pace for pace in found if pace is not None]


def _pace(project: Project, number: int) -> Pace | None:
    image_of = _sampled(project, number)
    answers = Annotation.objects.filter(task__in=list(image_of)).order_by("task", "revision")
    rows = answers.annotate(held=Length("instances")).values_list("task_id", "active_seconds", "held")
    known = [(task, image_of[task], seconds, held) for task, seconds, held in rows]
    return pace_of(number=number, rows=known) if known else None


def _sampled(project: Project, number: int) -> dict[int, int | None]:
    """{task: image} of a round's newest settled tasks and of all others of their images, so that the seconds of one
    are not cut short by where the sample ends."""
    settled = project.tasks.filter(state=Task.State.APPROVED, blind=0).exclude(lane__in=Task.BLIND_REASONS)
    newest = settled.filter(round=number).order_by("-pk").values_list("image_id", flat=True)[:NEWEST]
    # The round is asked for here, not there: by the index of rounds the whole of one would be walked.
    beside = settled.filter(image__in=set(newest)).order_by().values_list("pk", "image_id", "round")
    return {task: image for task, image, of_round in beside if of_round == number}


def pace_of(*, number: int, rows: Iterable[tuple[int, int | None, float, int]]) -> Pace:
    """`rows`: (task, image, seconds, objects) of each answer, revisions in their order: times add up, the last one's
    objects count. An answer that nothing is there is one object, as on the people's page."""
    seconds: dict[int, float] = defaultdict(float)
    held: dict[int, tuple[int | None, int]] = {}
    for task, image, spent, objects in rows:
        seconds[task] += spent
        held[task] = image, max(1, objects)
    timed = [task for task, spent in seconds.items() if spent > 0]
    by_image: dict[int | None, float] = defaultdict(float)
    for task in timed:
        by_image[held[task][0]] += seconds[task]
    each = [seconds[task] / held[task][1] for task in timed]
    objects = sum(held[task][1] for task in timed)
    told = (_middle(each), sum(seconds.values()) / objects if objects else None)
    images = list(by_image.values())
    return Pace(
        number, len(timed), len(seconds) - len(timed), objects, len(images), *told, _middle(images), _mean(images)
    )


def _middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
