"""Who works here, what they hold, and how much they have done."""

from collections import defaultdict
from dataclasses import dataclass, field

from django.db.models import Avg, Count

from annotator.models import Annotation, Membership, Project, Task


@dataclass
class Person:
    """One member and what they hold."""

    membership: Membership
    submitted: int = 0
    seconds: float | None = None
    held: list[Task] = field(default_factory=list)


def people_of(*, project: Project) -> list[Person]:
    memberships = project.memberships.select_related("user").order_by("user__username")
    people = {row.user_id: Person(row) for row in memberships}
    answers = Annotation.objects.filter(task__project=project).order_by()
    for author, count, seconds in answers.values_list("author").annotate(Count("id"), Avg("active_seconds")):
        if author in people:
            people[author].submitted, people[author].seconds = count, seconds
    for holder, tasks in _held(project).items():
        if holder in people:
            people[holder].held = tasks
    return list(people.values())


def _held(project: Project) -> dict[int, list[Task]]:
    held: dict[int, list[Task]] = defaultdict(list)
    tasks = project.tasks.filter(state=Task.State.CLAIMED).select_related("pair__image", "pair__concept")
    for task in tasks.defer("pair__instances", "reasons").order_by("lease_until"):
        if task.holder_id is not None:
            held[task.holder_id].append(task)
    return held
