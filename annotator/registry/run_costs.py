"""What training has cost: the trainer's hours at the price that each run began with."""

from dataclasses import dataclass

from django.db.models import F, Sum

from annotator.models import Project, TrainingRun

HOUR_S = 3600.0


@dataclass(frozen=True)
class ProjectCost:
    """`amounts`: (currency, sum) of the runs that have a price; `unpriced_seconds`: of those that have none."""

    seconds: float
    amounts: list[tuple[str, float]]
    unpriced_seconds: float


def run_cost(run: TrainingRun) -> float | None:
    """None: no price was set when the run was asked for."""
    return run.trainer_seconds * run.hour_price / HOUR_S if run.hour_price else None


def amount_told(amount: float, currency: str) -> str:
    return f"{amount:,.2f} {currency}"


def project_cost(*, project: Project) -> ProjectCost:
    """All runs, the failed and cancelled ones, too: they cost as much."""
    runs = project.training_runs.order_by()
    seconds = runs.aggregate(all=Sum("trainer_seconds", default=0.0))["all"]
    priced = runs.filter(hour_price__gt=0)
    sums = priced.values("currency").annotate(amount=Sum(F("trainer_seconds") * F("hour_price") / HOUR_S))
    amounts = [(row["currency"], row["amount"]) for row in sums.order_by("currency")]
    unpriced = runs.filter(hour_price=0).aggregate(all=Sum("trainer_seconds", default=0.0))["all"]
    return ProjectCost(seconds, amounts, unpriced)
