"""How far the two answers of a double agree, per person and per concept."""

from dataclasses import dataclass, field

from annotator.common.agreement import cohen_kappa, overlap
from annotator.models import Annotation, Project
from annotator.models.annotations import Verdict

from .quality import LEAST

# Masks of so many of the newest double answers are compared.
NEWEST = 500


@dataclass
class Agreement:
    """Of one person with the others, or of all on one concept. `ious`: mean overlap where both say present."""

    name: str
    verdicts: list[tuple[str, str]] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)

    @property
    def kappa(self) -> float | None:
        """Cohen's; None under ten pairs, or where one verdict is all that anybody gave."""
        return cohen_kappa(self.verdicts) if len(self.verdicts) >= LEAST else None

    @property
    def mean_iou(self) -> float | None:
        return sum(self.ious) / len(self.ious) if len(self.ious) >= LEAST else None


def agreements_of(*, project: Project) -> tuple[list[Agreement], list[Agreement]]:
    """(by person, by concept), by name, from first answers: what somebody said after a reviewer's word is no longer
    independent."""
    seconds = Annotation.objects.filter(task__project=project, task__blind=1, revision=1).order_by("-pk")
    seconds = list(seconds.select_related("author", "task", "pair__concept").defer("pair__instances")[:NEWEST])
    firsts = Annotation.objects.filter(task__in=[one.task.twin_of_id for one in seconds], revision=1)
    by_task = {one.task_id: one for one in firsts.select_related("author")}
    people: dict[str, Agreement] = {}
    concepts: dict[str, Agreement] = {}
    for second in seconds:
        if first := by_task.get(second.task.twin_of_id):
            _add(people, first.author.get_username(), first, second)
            _add(people, second.author.get_username(), second, first)
            _add(concepts, second.pair.concept.name, first, second)
    return _sorted(people), _sorted(concepts)


def _add(found: dict[str, Agreement], name: str, own: Annotation, other: Annotation) -> None:
    row = found.setdefault(name, Agreement(name))
    row.verdicts.append((own.verdict, other.verdict))
    if own.verdict == other.verdict == Verdict.PRESENT:
        row.ious.append(overlap(own.instances, other.instances))


def _sorted(found: dict[str, Agreement]) -> list[Agreement]:
    return [found[name] for name in sorted(found)]
