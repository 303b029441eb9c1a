"""Who works here, what they hold, and how much they have done."""

from collections import defaultdict
from dataclasses import dataclass, field

from django.db.models import Avg, Count

from annotator.models import Annotation, Membership, Project, Review, Task


@dataclass
class Person:
    """One member. `approved` and `sent_back` count reviewers' decisions on this person's answers."""

    membership: Membership
    submitted: int = 0
    seconds: float | None = None
    approved: int = 0
    sent_back: int = 0
    held: list[Task] = field(default_factory=list)

    @property
    def decided(self) -> int:
        return self.approved + self.sent_back

    @property
    def first_pass(self) -> float | None:
        """Share of decided answers that were approved as they came; None before the first decision."""
        return self.approved / self.decided if self.decided else None


def people_of(*, project: Project) -> list[Person]:
    memberships = project.memberships.select_related("user").order_by("user__username")
    people = {row.user_id: Person(row) for row in memberships}
    answers = Annotation.objects.filter(task__project=project).order_by()
    for author, count, seconds in answers.values_list("author").annotate(Count("id"), Avg("active_seconds")):
        if author in people:
            people[author].submitted, people[author].seconds = count, seconds
    _add_decisions(project, people)
    for holder, tasks in _held(project).items():
        if holder in people:
            people[holder].held = tasks
    return list(people.values())


def _add_decisions(project: Project, people: dict[int, Person]) -> None:
    reviews = Review.objects.filter(annotation__task__project=project).order_by()
    rows = reviews.values_list("annotation__author", "decision").annotate(n=Count("id"))
    for author, decision, count in rows:
        if author not in people:
            continue
        if decision == Review.Decision.APPROVE:
            people[author].approved += count
        else:
            people[author].sent_back += count


def _held(project: Project) -> dict[int, list[Task]]:
    held: dict[int, list[Task]] = defaultdict(list)
    tasks = project.tasks.filter(state=Task.State.CLAIMED).select_related("pair__image", "pair__concept")
    for task in tasks.defer("pair__instances", "reasons").order_by("lease_until"):
        if task.holder_id is not None:
            held[task.holder_id].append(task)
    return held
