"""What a run does now, in words: how fast it learns and how long it still takes. The page asks for them anew."""

from dataclasses import dataclass

from annotator.common.told import duration
from annotator.models import Job, TrainingRun
from toolbox.events import Event

from .run_costs import amount_told, run_cost


@dataclass(frozen=True)
class Fact:
    """A row of the run's page; `key` is where the page's script puts the newer words."""

    key: str
    label: str
    words: str


def run_facts(run: TrainingRun) -> list[Fact]:
    last = (run.series.get(Event.LOSS) or [{}])[-1]
    return [
        Fact("left", "Time left", _left(run)),
        Fact("speed", "Speed", _speed(last.get("images_per_s"))),
        Fact("rate", "Learning rate", _rate(last.get("learning_rate"))),
        Fact("worked", "The trainer worked", duration(run.trainer_seconds)),
        Fact("cost", "Cost", _cost(run)),
    ]


def _left(run: TrainingRun) -> str:
    """The trainer's estimate is of the part that it is at; what comes after that part it does not know."""
    if run.job.state not in Job.IN_FLIGHT:
        return "none: the run has ended"
    if run.job.eta_seconds is None:
        return "not known yet"
    return f"about {duration(run.job.eta_seconds)} of this part"


def _speed(images_per_s: float | None) -> str:
    return "not measured" if images_per_s is None else f"{images_per_s:.3g} images a second"


def _cost(run: TrainingRun) -> str:
    cost = run_cost(run)
    if cost is None:
        return "no price was set when it began"
    return f"{amount_told(cost, run.currency)}, at {run.hour_price:,g} {run.currency} an hour"


def _rate(learning_rate: float | None) -> str:
    return "not told" if learning_rate is None else f"{learning_rate:.3g}"
