"""A project at a glance: how much waits at each station of the loop, and what this person should do next."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Count, Q

from annotator.common.access import RANK, Person
from annotator.common.active import concepts_active, pairs_active
from annotator.models import GateDecision, Job, Pair, Project, Snapshot, Task, TrainingRun
from annotator.queue.selectors import double_awaited


@dataclass(frozen=True)
class Station:
    """One place in the loop. `count` None: there is nothing to count yet."""

    key: str
    label: str
    count: int | str | None
    caption: str
    page: str
    busy: bool = False


@dataclass(frozen=True)
class Step:
    """What to do next: at which station; `page` is the address's name, `posts` when the button does it.

    The words of each key are in templates/home/next_step.html.
    """

    key: str
    station: str
    page: str
    posts: bool = False
    number: int | None = None


@dataclass(frozen=True)
class Counts:
    concepts: int
    images: int
    unseen: int
    present: int
    absent: int
    queued: int
    claimed: int
    submitted: int
    reviewable: int
    returned_to_me: int
    new_since_snapshot: int
    snapshot: Snapshot | None
    run: TrainingRun | None
    gate: GateDecision | None
    busy: frozenset[str]


def project_counts(*, project: Project, user: Person) -> Counts:
    """Everything the picture and the advice need, in a fixed number of queries."""
    snapshot = project.snapshots.first()
    run = project.training_runs.select_related("version", "gate__challenger").first()
    pairs = dict(pairs_active(project=project).order_by().values_list("truth").annotate(n=Count("id")))
    return Counts(
        concepts=concepts_active(project=project).count(),
        images=project.images.count(),
        unseen=pairs.get(Pair.Truth.UNSEEN, 0),
        present=pairs.get(Pair.Truth.PRESENT, 0),
        absent=pairs.get(Pair.Truth.ABSENT, 0),
        new_since_snapshot=_new_pairs(project, snapshot),
        snapshot=snapshot,
        run=run,
        gate=run.gate if run else None,
        busy=frozenset(project.jobs.order_by().filter(state__in=Job.IN_FLIGHT).values_list("kind", flat=True)),
        **_task_counts(project, user),
    )


def _task_counts(project: Project, user: Person) -> dict[str, int]:
    """Counted by state from the index alone; only the few waiting ones are looked at more closely."""
    state = Task.State
    found = dict(project.tasks.order_by().values_list("state").annotate(n=Count("id")))
    submitted = project.tasks.filter(~double_awaited(), state=state.SUBMITTED)
    barred = Q(author_id=user.pk) | Q(twin_of__author_id=user.pk) | Q(twin__author_id=user.pk)
    others = submitted if project.self_review_allowed else submitted.exclude(barred)
    return {
        "queued": found.get(state.QUEUED, 0),
        "claimed": found.get(state.CLAIMED, 0),
        "submitted": found.get(state.SUBMITTED, 0),
        "reviewable": others.count(),
        "returned_to_me": project.tasks.filter(state=state.RETURNED, author_id=user.pk).count(),
    }


def _new_pairs(project: Project, snapshot: Snapshot | None) -> int:
    pairs = pairs_active(project=project).filter(truth_source=Pair.TruthSource.ANNOTATED)
    return pairs.filter(settled_at__gt=snapshot.created_at).count() if snapshot else pairs.count()


def loop_stations(*, project: Project, counts: Counts) -> list[Station]:
    """The nine stations in the order of the loop."""
    waiting = f"{counts.claimed} in hand" if counts.claimed else "waiting for a click"
    run, gate = counts.run, counts.gate
    return [
        Station("import", "Import", counts.images, "images", "images", Job.Kind.IMPORT in counts.busy),
        Station("mine", "Mine", counts.unseen, "pairs not looked at", "queue", Job.Kind.MINE in counts.busy),
        Station("queue", "Queue", counts.queued, waiting, "queue"),
        Station("label", "Click and verify", counts.present + counts.absent, "pairs settled", "desk"),
        Station("review", "Review", counts.submitted, "to approve", "reviews"),
        Station(
            "snapshot",
            "Snapshot",
            counts.new_since_snapshot,
            "new since the last",
            "snapshots",
            Job.Kind.SNAPSHOT in counts.busy,
        ),
        Station(
            "retrain",
            "Retrain",
            run.number if run else None,
            _runs(run),
            "training",
            Job.Kind.RETRAIN in counts.busy,
        ),
        Station(
            "gate",
            "Gate",
            gate.get_decision_display() if gate else None,
            "last decision" if gate else "nothing judged yet",
            "training",
        ),
        Station("promote", "Serve", project.serving_version.name, "answers the clicks", "models"),
    ]


def _runs(run: TrainingRun | None) -> str:
    if run is None:
        return "no run yet"
    return "run so far" if run.number == 1 else "runs so far"


@dataclass(frozen=True)
class _Chance:
    """A step, from which role on it is offered, and when."""

    role: str
    when: Callable[[Project, Counts], Any]
    step: Step


# The first that applies is what to do next.
CHANCES = (
    _Chance("admin", lambda project, counts: not counts.images, Step("bring-in", "import", "images")),
    _Chance("admin", lambda project, counts: not counts.concepts, Step("name-it", "mine", "settings")),
    _Chance("admin", lambda project, counts: _passed(project, counts), Step("promote", "promote", "run")),
    _Chance("admin", lambda project, counts: _is_training(counts), Step("training", "retrain", "run")),
    _Chance("admin", lambda project, counts: Job.Kind.MINE in counts.busy, Step("mining", "mine", "queue")),
    _Chance("annotator", lambda project, counts: counts.returned_to_me, Step("returned", "label", "desk")),
    _Chance("reviewer", lambda project, counts: counts.reviewable, Step("review", "review", "reviews")),
    _Chance("annotator", lambda project, counts: counts.queued, Step("label", "label", "desk")),
    _Chance("admin", lambda project, counts: counts.new_since_snapshot, Step("freeze", "snapshot", "snapshots")),
    _Chance("admin", lambda project, counts: _is_untrained(counts), Step("train", "retrain", "training")),
    _Chance("admin", lambda project, counts: counts.unseen, Step("mine", "mine", "mine", posts=True)),
    _Chance("admin", lambda project, counts: True, Step("more", "import", "images")),
    _Chance("annotator", lambda project, counts: True, Step("wait", "queue", "queue")),
)


def next_step(*, project: Project, counts: Counts, role: str) -> Step:
    """The first step of the table that this role can take; the last line always applies."""
    open_to_role = (chance for chance in CHANCES if RANK[role] >= RANK[chance.role])
    step = next(chance.step for chance in open_to_role if chance.when(project, counts))
    return replace(step, number=counts.run.number) if step.page == "run" and counts.run else step


def _is_training(counts: Counts) -> bool:
    return Job.Kind.RETRAIN in counts.busy and counts.run is not None


def _is_untrained(counts: Counts) -> bool:
    snapshot, run = counts.snapshot, counts.run
    return snapshot is not None and (run is None or run.snapshot_id != snapshot.pk)


def _passed(project: Project, counts: Counts) -> bool:
    gate = counts.gate
    return bool(
        gate
        and gate.decision == GateDecision.Decision.PROMOTE
        and gate.champion_id == project.serving_version_id
        and not gate.deployments.exists()
    )
