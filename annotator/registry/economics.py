"""What a project's labels cost: seconds of people by round of the loop, and the trainer's time and money."""

from typing import Any

from django.db.models import Count, Exists, F, OuterRef, QuerySet, Sum

from annotator.data.labour import Length
from annotator.models import Annotation, Project, Task, TrainingRun

from .run_costs import run_cost


def project_economics(*, project: Project, run: TrainingRun | None = None) -> dict[str, Any]:
    """As `report` takes it (docs/training.md). Of each task the newest answer's objects, and the seconds of all its
    revisions; second answers of doubles and known answers are work, too, but make no label of their own."""
    tasks = Task.objects.filter(project=project, blind=0).exclude(lane__in=Task.BLIND_REASONS)
    answers = Annotation.objects.filter(task__in=tasks).order_by()
    times = answers.values(round=F("task__round")).annotate(
        answers=Count("task", distinct=True), images=Count("pair__image", distinct=True), seconds=Sum("active_seconds")
    )
    newest = _newest(answers)
    drawn: dict[int, int] = dict(newest.values_list("task__round").annotate(held=Sum(Length("instances"))))
    rounds = [{**row, "instances": drawn.get(row["round"]) or 0} for row in times.order_by("round")]
    training = {"seconds": run.trainer_seconds, "amount": run_cost(run)} if run else {}
    price = project.person_hour_price or None
    return {"currency": project.currency, "person_hour_price": price, "rounds": rounds, "training": training}


def _newest(answers: QuerySet[Annotation]) -> QuerySet[Annotation]:
    """The last revision of each task's answers."""
    after = Annotation.objects.filter(task=OuterRef("task"), revision__gt=OuterRef("revision"))
    return answers.filter(~Exists(after))
