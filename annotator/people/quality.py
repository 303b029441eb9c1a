"""How people's answers fare: approved as they came, quick, left as proposed, near the truth that came of them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Count, F, Q, Sum

from annotator.common.agreement import overlap, wilson_interval
from annotator.models import Annotation, Project, Review, Task

# Below this many answers a share says more about chance than about a person.
LEAST = 10
# Masks are read for so many of a person's newest answers: enough for a share, and steady when there are 100,000.
NEWEST = 200


@dataclass
class Share:
    """`part` of `whole`; a fraction only from ten on."""

    part: float = 0.0
    whole: int = 0

    @property
    def fraction(self) -> float | None:
        return self.part / self.whole if self.whole >= LEAST else None

    @property
    def interval(self) -> tuple[float, float]:
        """What so many answers leave possible, with 95 % confidence; only where `part` is a count."""
        return wilson_interval(int(self.part), self.whole)

    def add(self, part: float, whole: int = 1) -> None:
        self.part += part
        self.whole += whole


@dataclass
class Figures:
    """One member's. `first_pass`: first answers that a reviewer approved as they came; `untouched`: instances that are
    the model's proposal unedited; `overlap`: mean IoU of reviewed first answers with the truth; `seconds`: active time,
    over settled instances, an absent verdict being one."""

    user: AbstractBaseUser
    first_pass: Share = field(default_factory=Share)
    untouched: Share = field(default_factory=Share)
    overlap: Share = field(default_factory=Share)
    seconds: Share = field(default_factory=Share)
    known: Share = field(default_factory=Share)
    reviews_given: int = 0


def figures_of(*, project: Project) -> list[Figures]:
    """Every member's, by name."""
    members = project.memberships.select_related("user").order_by("user__username")
    found = {row.user_id: Figures(row.user) for row in members}
    _add_decisions(project, found)
    _add_answers(project, found)
    return list(found.values())


def _add_decisions(project: Project, found: dict[int, Figures]) -> None:
    """Counted by the database over all answers; what passed by policy was decided by nobody."""
    reviews = Review.objects.filter(annotation__task__project=project, reviewer__isnull=False).order_by()
    approved = Count("id", filter=Q(decision=Review.Decision.APPROVE))
    firsts = reviews.filter(annotation__revision=1).values_list("annotation__author")
    for author, whole, part in firsts.annotate(n=Count("id"), good=approved):
        if author in found:
            found[author].first_pass = Share(part, whole)
    for reviewer, count in reviews.values_list("reviewer").annotate(Count("id")):
        if reviewer in found:
            found[reviewer].reviews_given = count
    scored = Annotation.objects.filter(task__project=project, scored__isnull=False, revision=1)
    known = scored.order_by().values_list("author")
    right = Count("id", filter=Q(scored__verdict_right=True))
    for author, whole, part in known.annotate(n=Count("id"), good=right):
        if author in found:
            found[author].known = Share(part, whole)


def _add_answers(project: Project, found: dict[int, Figures]) -> None:
    answers = _newest_settled(project, list(found))
    spent = _seconds_spent(answers)
    for answer in answers:
        figures, instances = found[answer.author_id], answer.instances
        left = sum(one["origin"] == "proposal" and not one["edited"] for one in instances)
        figures.untouched.add(left, len(instances))
        figures.seconds.add(spent[answer.task_id, answer.author_id], max(1, len(instances)))
        if answer.reviewer is not None:
            figures.overlap.add(overlap(answer.instances, answer.pair.instances))


def _newest_settled(project: Project, authors: Sequence[int]) -> list[Annotation]:
    """Each author's newest first answers to tasks that are settled, with `.reviewer`; a query an author, so that each
    is read from the newest on and not ranked as a whole."""
    firsts = Annotation.objects.filter(
        task__project=project, task__state=Task.State.APPROVED, revision=1, scored__isnull=True
    )
    firsts = firsts.annotate(reviewer=F("review__reviewer")).select_related("pair").order_by("-pk")
    return [answer for author in authors for answer in firsts.filter(author=author)[:NEWEST]]


def _seconds_spent(answers: Iterable[Annotation]) -> dict[tuple[int, int], float]:
    """(task, author) -> active time over all their revisions: a correction costs time, too."""
    rows = Annotation.objects.filter(task__in=[one.task_id for one in answers]).order_by()
    spent: dict[tuple[int, int], float] = defaultdict(float)
    for task, author, seconds in rows.values_list("task", "author").annotate(Sum("active_seconds")):
        spent[task, author] = seconds
    return spent
