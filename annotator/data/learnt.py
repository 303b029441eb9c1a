"""The walk from an answer to models and back, by the rows of snapshots (SnapshotPair)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Sum

from annotator.models import Annotation, Image, ModelVersion, Snapshot, SnapshotPair

RUNS = "snapshot__training_runs"
# What a version's run did with a pair of each split.
ROLES = {
    Image.Split.TRAIN.value: "learnt",
    Image.Split.VAL.value: "chosen by",
    Image.Split.HOLDOUT.value: "judged by",
    Image.Split.TEST.value: "kept apart",
}


@dataclass(frozen=True)
class Reader:
    """A version whose run had the pair in its snapshot; `role`: what it did with it. `gate`: the newest decision."""

    version: str
    run: int
    snapshot: int
    role: str
    answer: int | None
    gate: str


def versions_of_answer(*, answer: Annotation) -> list[Reader]:
    """Which models learnt from this answer, or were chosen or judged by it, oldest first: one query."""
    return [reader for _, reader in _readers(SnapshotPair.objects.filter(answer=answer))]


def versions_of_pairs(*, pairs: Iterable[int]) -> dict[int, list[Reader]]:
    """The same for pairs, whatever answer each snapshot held of them: one query."""
    found: dict[int, list[Reader]] = defaultdict(list)
    for pair, reader in _readers(SnapshotPair.objects.filter(pair__in=list(pairs))):
        found[pair].append(reader)
    return found


def _readers(rows: Any) -> list[tuple[int, Reader]]:
    values = {"version": F(f"{RUNS}__version__name"), "run": F(f"{RUNS}__number"), "taken": F("snapshot__number")}
    values |= {"decision": F(f"{RUNS}__gate__decision")}
    trained = rows.filter(**{f"{RUNS}__version__isnull": False}).order_by(f"{RUNS}__version_id")
    return [
        (
            row["pair_id"],
            Reader(
                row["version"], row["run"], row["taken"], ROLES[row["split"]], row["answer_id"], row["decision"] or ""
            ),
        )
        for row in trained.values("pair_id", "answer_id", "split", **values)
    ]


@dataclass(frozen=True)
class Person:
    """Who gave answers that a version learnt from. `name` None: imported, drawn, or of an answer that is gone."""

    name: str | None
    pairs: int
    masks: int


def people_of(*, snapshot: Snapshot, split: str = Image.Split.TRAIN) -> list[Person]:
    """Whose answers they are, most first: one query. After a reviewer's fix it is the reviewer's own answer."""
    rows = SnapshotPair.objects.filter(snapshot=snapshot, split=split).values(name=F("answer__author__username"))
    counted = rows.annotate(pairs=Count("pk"), masks=Sum("instances")).order_by("-pairs", "name")
    return [Person(row["name"], row["pairs"], row["masks"]) for row in counted]


def reviewers_of(*, snapshot: Snapshot, split: str = Image.Split.TRAIN) -> list[Person]:
    """Who let them through; None: the project's policy, or nobody's answer."""
    rows = SnapshotPair.objects.filter(snapshot=snapshot, split=split, answer__isnull=False)
    named = rows.values(name=F("answer__review__reviewer__username"))
    counted = named.annotate(pairs=Count("pk"), masks=Sum("instances")).order_by("-pairs", "name")
    return [Person(row["name"], row["pairs"], row["masks"]) for row in counted]


def answers_learnt(*, version: ModelVersion, after: int = 0, most: int = 500) -> Sequence[dict[str, Any]]:
    """What a version learnt from, pair by pair in the order of their ids: one query a page."""
    rows = SnapshotPair.objects.filter(snapshot__training_runs__version=version, pair_id__gt=after)
    values = {
        "image": F("pair__image__sha256"),
        "concept": F("pair__concept__name"),
        "annotation": F("answer_id"),
        "revision": F("answer__revision"),
        "author": F("answer__author__username"),
        "reviewer": F("answer__review__reviewer__username"),
    }
    told: Any = rows.order_by("pair_id").values("pair", "split", "instances", **values)
    return list(told[:most])
