"""What waits in the queue and why: counts a reason, a page of tasks, how sure the model is of what nobody has seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Floor

from annotator.common.active import pairs_active
from annotator.models import Pair, Prediction, Project, Task

from .selectors import reasons_shown

PAGE = 50
# Counted finely, so that a band can be tried out to two places; shown in bars of five.
BINS = 100
BINS_A_BAR = 5

STATES = {
    "queued": (Task.State.QUEUED,),
    "claimed": (Task.State.CLAIMED,),
    "submitted": (Task.State.SUBMITTED,),
    "returned": (Task.State.RETURNED,),
    "approved": (Task.State.APPROVED,),
}


@dataclass(frozen=True)
class QueueFilter:
    """`state` a key of STATES; the rest empty for all. `person` holds it, answered it or has it kept for them; presence
    as the model gave it whose proposals the task shows. `after`: the last row of the page before."""

    state: str = "queued"
    reason: str = ""
    concept: int | None = None
    person: int | None = None
    presence_low: float | None = None
    presence_high: float | None = None
    after: tuple[int, float, int] | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but the place in the list is chosen."""
        return replace(self, after=None) != QueueFilter()


@dataclass(frozen=True)
class QueuePage:
    tasks: list[Task]
    next_cursor: str


def reason_counts(*, project: Project) -> list[tuple[str, str, int]]:
    """(reason, its words, waiting tasks), in the reasons' own order; tasks with a known answer pass for audits."""
    waiting = project.tasks.filter(state=Task.State.QUEUED)
    found = dict(waiting.order_by().values_list("lane").annotate(n=Count("id")))
    found[Task.Reason.AUDIT] = found.get(Task.Reason.AUDIT, 0) + found.pop(Task.Reason.KNOWN_ANSWER, 0)
    return [(key, words, found.get(key, 0)) for key, words in reasons_shown().items()]


def queue_page(*, project: Project, wanted: QueueFilter) -> QueuePage:
    """Tasks in the order in which they are claimed, with `.presence` (None where the model gave none)."""
    tasks = project.tasks.filter(state__in=STATES[wanted.state])
    tasks = tasks.filter(lane__in=_counted_as(wanted.reason)) if wanted.reason else tasks
    tasks = tasks.filter(pair__concept_id=wanted.concept) if wanted.concept else tasks
    tasks = tasks.filter(_concerns(wanted.person)) if wanted.person else tasks
    tasks = _within(tasks, wanted.presence_low, wanted.presence_high)
    tasks = _beyond(tasks, wanted.after).order_by("skips", "-priority", "id")
    related = tasks.select_related("pair__image", "pair__concept", "holder", "author", "assignee").defer(
        "pair__instances"
    )
    rows = list(related[: PAGE + 1])
    shown = rows[:PAGE]
    _add_presence(shown)
    return QueuePage(shown, cursor_of(shown[-1]) if len(rows) > PAGE else "")


def _counted_as(reason: str) -> tuple[str, ...]:
    return (reason, Task.Reason.KNOWN_ANSWER) if reason == Task.Reason.AUDIT else (reason,)


def _concerns(person: int) -> Q:
    return Q(holder=person) | Q(author=person) | Q(assignee=person)


def _within(tasks: QuerySet[Task], low: float | None, high: float | None) -> QuerySet[Task]:
    if low is None and high is None:
        return tasks
    seen = Prediction.objects.filter(pair=OuterRef("pair"), model_version=OuterRef("model_version"))
    return tasks.filter(Exists(seen.filter(presence__gte=low or 0.0, presence__lte=1.0 if high is None else high)))


def cursor_of(task: Task) -> str:
    return f"{task.skips}_{task.priority!r}_{task.pk}"


def parse_cursor(text: str) -> tuple[int, float, int] | None:
    """The inverse of cursor_of; None for anything else, which is the first page."""
    try:
        skips, priority, pk = text.split("_")
        return int(skips), float(priority), int(pk)
    except ValueError:
        return None


def _beyond(tasks: QuerySet[Task], after: tuple[int, float, int] | None) -> QuerySet[Task]:
    if after is None:
        return tasks
    skips, priority, pk = after
    same = Q(skips=skips, priority__lt=priority) | Q(skips=skips, priority=priority, id__gt=pk)
    return tasks.filter(Q(skips__gt=skips) | same)


@dataclass(frozen=True)
class Ahead:
    """What the next tasks of the queue are expected to take together."""

    tasks: int
    seconds: float


def queue_ahead(*, project: Project) -> Ahead | None:
    """The next PAGE waiting tasks, in the order of claims; None where no price is known.

    One without a price (queued by hand, or with a known answer) counts as the mean of the others.
    """
    waiting = project.tasks.filter(state=Task.State.QUEUED).order_by("skips", "-priority", "id")
    prices = list(waiting.values_list("price_seconds", flat=True)[:PAGE])
    known = [one for one in prices if one is not None]
    return Ahead(len(prices), sum(known) / len(known) * len(prices)) if known else None


def _add_presence(tasks: Sequence[Task]) -> None:
    pairs = [task.pair_id for task in tasks]
    rows = Prediction.objects.filter(pair_id__in=pairs).values_list("pair_id", "model_version_id", "presence")
    known = {(pair, version): presence for pair, version, presence in rows}
    for task in tasks:
        task.presence = known.get((task.pair_id, task.model_version_id))


@dataclass(frozen=True)
class Histogram:
    """Unseen pairs by the serving model's presence score; `counts[i]` lie in [i, i + 1) / BINS."""

    counts: list[int]
    in_band: int
    total: int

    @property
    def rows(self) -> list[tuple[float, float, int]]:
        """(from, to, pairs) of each bar."""
        starts = range(0, BINS, BINS_A_BAR)
        return [(at / BINS, (at + BINS_A_BAR) / BINS, sum(self.counts[at : at + BINS_A_BAR])) for at in starts]


def presence_histogram(*, project: Project) -> Histogram:
    """One pass over the serving model's scores for pairs that nobody has looked at, read from indexes alone."""
    unseen = pairs_active(project=project).filter(truth=Pair.Truth.UNSEEN).values("pk")
    seen = Prediction.objects.filter(model_version_id=project.serving_version_id, pair__in=unseen)
    band = Q(presence__gte=project.presence_low, presence__lte=project.presence_high)
    binned = seen.annotate(bin=Floor(F("presence") * BINS)).order_by().values_list("bin")
    counts, in_band = [0] * BINS, 0
    for place, n, inside in binned.annotate(n=Count("id"), inside=Count("id", filter=band)):
        counts[min(max(int(place), 0), BINS - 1)] += n
        in_band += inside
    return Histogram(counts, in_band, sum(counts))


def room_for_doubt(*, project: Project) -> int:
    """How many tasks of a batch the band can fill at most: those that are not drawn at random."""
    return project.mine_batch - int(project.mine_batch * project.audit_share + 0.5)
