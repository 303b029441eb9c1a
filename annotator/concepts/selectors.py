"""What a project looks for, what it has stopped looking for, and what would come of merging two concepts."""

from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery

from annotator.common.active import concepts_active
from annotator.models import Concept, Pair, Project, Task

Truth, State = Pair.Truth, Task.State
# A person has it in hand, or its answer is not decided yet.
IN_HAND = (State.CLAIMED, State.SUBMITTED, State.RETURNED)


def plain_name(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").split()).casefold()


def plain_singular(plain: str) -> str:
    """Good enough to propose: fuse neutrals and fuse neutral, boxes and box, flies and fly."""
    for ending, other in (("ies", "y"), ("ses", "s"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("s", "")):
        if plain.endswith(ending) and len(plain) > len(ending) + 2 and not plain.endswith("ss"):
            return plain.removesuffix(ending) + other
    return plain


def concepts_by_name(*, project: Project) -> dict[str, Concept]:
    """Concepts that are looked for, by their plain names and synonyms."""
    return {plain_name(word): row for row in concepts_active(project=project) for word in (*row.synonyms, row.name)}


@dataclass(frozen=True)
class ConceptCounts:
    """Pairs by truth; tasks that wait, and those that a person has in hand or whose answer is not decided."""

    unseen: int
    present: int
    absent: int
    queued: int
    in_hand: int


def concept_counts(concept: Concept) -> ConceptCounts:
    pairs = dict(concept.pairs.order_by().values_list("truth").annotate(Count("id")))
    tasks = dict(_tasks(concept).order_by().values_list("state").annotate(Count("id")))
    return ConceptCounts(
        unseen=pairs.get(Truth.UNSEEN, 0),
        present=pairs.get(Truth.PRESENT, 0),
        absent=pairs.get(Truth.ABSENT, 0),
        queued=tasks.get(State.QUEUED, 0),
        in_hand=sum(tasks.get(state, 0) for state in IN_HAND),
    )


@dataclass(frozen=True)
class MergePlan:
    """Pairs of the concept that stays, by what becomes of them; `in_hand`: tasks that stand in the way."""

    moved: int
    together: int
    conflicts: int
    queued: int
    in_hand: int


def merge_plan(*, concept: Concept, into: Concept) -> MergePlan:
    """Counts only, the pairs read once; services.concept_merge goes by `pairs_moved` and so on."""
    told = _with_other(concept, into).order_by().values_list("truth", "other").annotate(Count("id"))
    found = {(truth, other): count for truth, other, count in told}
    return MergePlan(
        moved=found.get((Truth.UNSEEN, Truth.PRESENT), 0) + found.get((Truth.UNSEEN, Truth.ABSENT), 0),
        together=found.get((Truth.PRESENT, Truth.PRESENT), 0),
        conflicts=found.get((Truth.PRESENT, Truth.ABSENT), 0) + found.get((Truth.ABSENT, Truth.PRESENT), 0),
        queued=tasks_made_void(concept, into).count(),
        in_hand=tasks_in_the_way(concept, into).count(),
    )


def pairs_moved(concept: Concept, into: Concept) -> QuerySet[Pair]:
    """Known under the one name alone: that holds for the other."""
    return _with_other(concept, into).filter(truth=Truth.UNSEEN, other__in=(Truth.PRESENT, Truth.ABSENT))


def pairs_together(concept: Concept, into: Concept) -> QuerySet[Pair]:
    return _with_other(concept, into).filter(truth=Truth.PRESENT, other=Truth.PRESENT)


def pairs_in_conflict(concept: Concept, into: Concept) -> QuerySet[Pair]:
    """Present under one name and absent under the other."""
    pairs = _with_other(concept, into)
    return pairs.filter(truth=Truth.PRESENT, other=Truth.ABSENT) | pairs.filter(truth=Truth.ABSENT, other=Truth.PRESENT)


def _with_other(concept: Concept, into: Concept) -> QuerySet[Pair]:
    """Pairs of `into` with `.other`, the truth of the same image's pair of `concept`."""
    other = Pair.objects.filter(concept=concept, image=OuterRef("image")).values("truth")
    return Pair.objects.filter(concept=into).annotate(other=Subquery(other))


def tasks_made_void(concept: Concept, into: Concept) -> QuerySet[Task]:
    """Waiting tasks of the name that goes, and of the other where the pair changes."""
    return _concerned(concept, into).filter(state=State.QUEUED)


def tasks_in_the_way(concept: Concept, into: Concept) -> QuerySet[Task]:
    return _concerned(concept, into).filter(state__in=IN_HAND)


def _concerned(concept: Concept, into: Concept) -> QuerySet[Task]:
    """Looked at from the tasks, which are fewer than the pairs."""
    other = Pair.objects.filter(concept=concept, image=OuterRef("pair__image"))
    ruled_out = Q(Exists(other.filter(truth=Truth.ABSENT))) & ~Q(pair__truth=Truth.ABSENT)
    news = Q(Exists(other.filter(truth=Truth.PRESENT))) | ruled_out
    concerned = Q(pair__concept=concept) | (Q(pair__concept=into) & news)
    return Task.objects.filter(concerned, project=concept.project_id)


def _tasks(concept: Concept) -> QuerySet[Task]:
    return Task.objects.filter(project=concept.project_id, pair__concept=concept)
