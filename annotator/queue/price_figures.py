"""What a person's work takes in this project: its own recorded seconds where there are enough, else public figures."""

from collections.abc import Sequence
from statistics import median

from annotator.models import Annotation, Image, Project, Task
from annotator.models.annotations import Verdict

from .prices import PUBLIC, Figures

# A median of fewer answers moves with who happened to answer; the newest say how people work now.
LEAST_ANSWERS, NEWEST = 30, 1000
# A person who was called away is no price.
LONGEST_SECONDS = 600.0
BY_HAND = ("click", "drawn", "exemplar")


def price_figures(*, project: Project) -> Figures:
    """Medians over the newest answers, kind by kind; a kind with fewer than LEAST_ANSWERS keeps its public figure."""
    answers = _answers(project)
    absent = [seconds for verdict, _, seconds in answers if verdict == Verdict.ABSENT]
    present = [(origins, seconds) for verdict, origins, seconds in answers if verdict == Verdict.PRESENT and origins]
    checked = [seconds / len(origins) for origins, seconds in present if not set(origins) & set(BY_HAND)]
    check = _median(checked, PUBLIC.check_seconds)
    clicked = [_clicked(origins, seconds, check) for origins, seconds in present if set(origins) & set(BY_HAND)]
    return Figures(_median(absent, PUBLIC.absent_seconds), check, _median(clicked, PUBLIC.click_seconds))


def _clicked(origins: Sequence[str], seconds: float, check: float) -> float:
    """Seconds of each object made by hand, after what the checked proposals beside them take."""
    by_hand = sum(origin in BY_HAND for origin in origins)
    return max(seconds - (len(origins) - by_hand) * check, 0.0) / by_hand


def _median(values: Sequence[float], public: float) -> float:
    return median(values) if len(values) >= LEAST_ANSWERS else public


def _answers(project: Project) -> list[tuple[str, list[str], float]]:
    """(verdict, each instance's origin, seconds) of first answers given at the desk, where what one takes is known by
    itself; the holdout is drawn without proposals in mind."""
    rows = Annotation.objects.filter(task__project=project, revision=1, frame_of=None, task__lane__in=_mined())
    rows = rows.filter(active_seconds__gt=0, active_seconds__lte=LONGEST_SECONDS)
    rows = rows.exclude(pair__image__split=Image.Split.HOLDOUT).order_by("-pk")
    listed = rows.values_list("verdict", "instances", "active_seconds")[:NEWEST]
    return [(verdict, [one["origin"] for one in instances], seconds) for verdict, instances, seconds in listed]


def _mined() -> tuple[str, ...]:
    reasons = Task.Reason
    return (reasons.BAND, reasons.DISAGREEMENT, reasons.BORDERLINE, reasons.AUDIT, reasons.FILL)
