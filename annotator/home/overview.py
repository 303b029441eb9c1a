"""A project at a glance: how much waits at each station of the loop, and what this person should do next."""

from dataclasses import dataclass

from django.db.models import Count, Q

from annotator.common.access import RANK, Person
from annotator.common.active import concepts_active, pairs_active
from annotator.models import GateDecision, Job, Pair, Project, Snapshot, Task, TrainingRun
from annotator.queue.selectors import half_awaited


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
    """What to do next: at which station, in words; `page` is the address's name, `posts` when the button does it."""

    station: str
    title: str
    text: str
    page: str
    button: str
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
        gate=getattr(run, "gate", None) if run else None,
        busy=frozenset(project.jobs.order_by().filter(state__in=Job.IN_FLIGHT).values_list("kind", flat=True)),
        **_task_counts(project, user),
    )


def _task_counts(project: Project, user: Person) -> dict[str, int]:
    """Counted by state from the index alone; only the few waiting ones are looked at more closely."""
    state = Task.State
    found = dict(project.tasks.order_by().values_list("state").annotate(n=Count("id")))
    submitted = project.tasks.filter(~half_awaited(), state=state.SUBMITTED)
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


def next_step(*, project: Project, counts: Counts, role: str) -> Step:
    """The first thing in this list that this role can do; the last line always applies."""
    rank = RANK[role]
    steps = (_admin_first(project, counts) if rank >= RANK["admin"] else []) + _people_steps(counts, rank)
    if rank >= RANK["admin"]:
        steps += _admin_last(counts)
    return (
        steps[0]
        if steps
        else Step(
            "queue",
            "Nothing waits for you",
            "The queue is empty. An admin mines for more; come back then.",
            "queue",
            "Look at the queue",
        )
    )


def _admin_first(project: Project, counts: Counts) -> list[Step]:
    steps = []
    if not counts.images:
        steps.append(
            Step(
                "import",
                "Bring in images",
                "A folder or zip of images, or a Roboflow/COCO export with its masks.",
                "images",
                "Import images",
            )
        )
    if not counts.concepts:
        words = "A noun phrase or more: chicken, duck, feeder. The model is asked for each in every image."
        steps.append(Step("mine", "Say what to look for", words, "settings", "Add a concept"))
    if _passed(project, counts):
        steps.append(
            Step(
                "promote",
                "A better model waits",
                f"Run {counts.run.number} passed the gate. Read its report, then let it serve.",
                "run",
                "Read the report",
                number=counts.run.number,
            )
        )
    if Job.Kind.RETRAIN in counts.busy and counts.run:
        steps.append(
            Step(
                "retrain",
                "A model is in training",
                "Loss and progress are live on the run's page.",
                "run",
                "Watch it",
                number=counts.run.number,
            )
        )
    if Job.Kind.MINE in counts.busy:
        steps.append(
            Step(
                "mine",
                "Mining is under way",
                "The model looks at every pair nobody has looked at.",
                "queue",
                "Watch it",
            )
        )
    return steps


def _passed(project: Project, counts: Counts) -> bool:
    gate = counts.gate
    return bool(
        gate
        and gate.decision == GateDecision.Decision.PROMOTE
        and gate.champion_id == project.serving_version_id
        and not gate.deployments.exists()
    )


def _people_steps(counts: Counts, rank: int) -> list[Step]:
    steps = []
    if counts.returned_to_me:
        steps.append(
            Step(
                "label",
                "Something came back to you",
                f"{_things(counts.returned_to_me, 'task')} with a reviewer's comment.",
                "desk",
                "Open the desk",
            )
        )
    if rank >= RANK["reviewer"] and counts.reviewable:
        steps.append(
            Step(
                "review",
                "Approve what was clicked",
                f"{_things(counts.reviewable, 'answer')} to review.",
                "reviews",
                "Start reviewing",
            )
        )
    if counts.queued:
        steps.append(
            Step(
                "label",
                "Click and verify",
                f"{_things(counts.queued, 'pair')} on which the model hesitates.",
                "desk",
                "Start at the desk",
            )
        )
    return steps


def _admin_last(counts: Counts) -> list[Step]:
    steps = []
    if counts.new_since_snapshot:
        steps.append(
            Step(
                "snapshot",
                "Freeze what was learnt",
                f"{_things(counts.new_since_snapshot, 'approved pair')} since the last snapshot.",
                "snapshots",
                "Take a snapshot",
            )
        )
    if counts.snapshot and (not counts.run or counts.run.snapshot_id != counts.snapshot.pk):
        steps.append(
            Step(
                "retrain",
                "Train on the new data",
                f"Snapshot {counts.snapshot.number} has not been trained on.",
                "training",
                "Go to training",
            )
        )
    if counts.unseen:
        steps.append(
            Step(
                "mine",
                "Find where the model hesitates",
                f"{_things(counts.unseen, 'pair')} that nobody has looked at.",
                "mine",
                "Mine now",
                posts=True,
            )
        )
    return steps or [
        Step("import", "Bring in more images", "Every pair has been looked at.", "images", "Import images")
    ]


def _things(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
