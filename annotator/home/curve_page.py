"""The learning curve as its page and the home show it: the chart's plain description and the forecast's sentences."""

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.urls import reverse

from annotator.common.forms import PlainForm
from annotator.common.told import duration, points
from annotator.models import Project
from annotator.registry.learning_curve import KEPT_BACK, PROMOTED, START, Point
from annotator.registry.report_files import report_folder

from .curve import LearningCurve, Round
from .forecast import NEVER, REACHED, STALLED, TOO_FEW, Forecast, Needed
from .random_order import LEAST, LEAST_CHANGED, RandomOrder

STATES = {START: "as shipped", PROMOTED: "promoted", KEPT_BACK: "kept back"}
# How a state is drawn: a form of its own, so that colour is not all that tells them apart.
MARKS = {START: "rectRot", PROMOTED: "circle", KEPT_BACK: "triangle"}
FAR = 20  # times what was spent so far: beyond it a forecast is no more than a direction

SURE = 0.975  # of the curves that get there: fewer are told


class TargetForm(PlainForm):
    target = forms.FloatField(
        label="CGF1 to reach",
        min_value=1,
        max_value=100,
        help_text="In points of 100, as in the table.",
        widget=forms.NumberInput(attrs={"step": "0.5"}),
    )


def curve_chart(rounds: Sequence[Round], random: RandomOrder | None = None, target: float | None = None) -> dict:
    """What curve.js draws; figures in points. Without any recorded time labels take the hours' place."""
    known = [one.point for one in rounds]
    by_hours = any(one.hours > 0 for one in known)
    places = [one.hours if by_hours else one.labels for one in known]
    told = [_drawn(point, x) for point, x in zip(known, places, strict=True)]
    return {
        "x": "Hours of annotators" if by_hours else "Labels",
        "points": told,
        "random": _drawn_random(known, random) if by_hours and random else [],
        "target": None if target is None else round(100 * target, 1),
    }


def _drawn(point: Point, x: float) -> dict[str, Any]:
    return {
        "x": round(x, 4),
        "y": _hundred(point.cgf1),
        "low": _hundred(point.low),
        "high": _hundred(point.high),
        "state": STATES[point.state],
        "mark": MARKS[point.state],
        "name": point.version,
        "labels": point.labels,
    }


def _drawn_random(known: Sequence[Point], random: RandomOrder) -> list[dict[str, float]]:
    """The models that served, where random order would have had them."""
    served = [one for one in known if one.state != KEPT_BACK]
    moved = [(random.hours(one.hours), one.cgf1) for one in served]
    return [{"x": round(x, 4), "y": 100 * y} for x, y in moved if x is not None]


def _hundred(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)


def forecast_words(forecast: Forecast, curve: LearningCurve) -> list[str]:
    """What the forecast says, sentence by sentence."""
    target = points(forecast.target)
    if forecast.verdict == REACHED:
        return [f"Reached: the model that served last has {target} points or more on its holdout."]
    if forecast.verdict == TOO_FEW:
        return [_missing(forecast.points)]
    if forecast.verdict == NEVER:
        return [_never(forecast.hours or forecast.labels, target), WONT_HELP]
    if forecast.verdict == STALLED and forecast.stall:
        stall = forecast.stall
        gain = f"{100 * stall.gain:+.1f} points, between {100 * stall.low:+.1f} and {100 * stall.high:+.1f}"
        return [f"The last {stall.rounds} rounds gained nothing over the best before them ({gain}).", WONT_HELP]
    return _told(forecast, curve, target)


WONT_HELP = "More of this kind of label won't help: look at these failures."


def _missing(known: int) -> str:
    more = 3 - known
    words = "model that serves" if more == 1 else "models that serve"
    return (
        f"A forecast needs three models at three different numbers of labels, each with an interval; {known} of them "
        f"{'is' if known == 1 else 'are'} there. {more} more promoted {words} will do: label, retrain, promote."
    )


def _never(needed: Needed | None, target: str) -> str:
    assert needed is not None
    return f"The curve ends at about {_ends(needed)}: below {target}."


def _ends(needed: Needed) -> str:
    low, high = points(needed.ceiling_low), points(needed.ceiling_high)
    return f"{points(needed.curve.ceiling)} points, between {low} and {high}"


def _told(forecast: Forecast, curve: LearningCurve, target: str) -> list[str]:
    asked = forecast.hours or forecast.labels
    assert asked is not None
    if asked.x is None:
        ends = f"The best fit ends at about {_ends(asked)}: whether it comes to {target} can't be told."
        return [ends, _share(asked)]
    spent = [one for one in curve.points if one.state != KEPT_BACK][-1]
    ways = []
    if forecast.hours:
        ways.append(_way(forecast.hours, spent.hours, lambda hours: duration(3600 * hours)))
    if forecast.labels:
        ways.append(_way(forecast.labels, spent.labels, lambda count: f"{count:,.0f} labels"))
    words = [f"About {way} more to {target} points." if not place else f"Or {way}." for place, way in enumerate(ways)]
    return words + ([_share(asked)] if asked.share < SURE else []) + _far(forecast, spent)


def _way(needed: Needed, spent: float, told: Callable[[float], str]) -> str:
    """«3 h (between 2 h and 9 h)», beyond what was spent."""
    low = max((needed.low or 0.0) - spent, 0.0)
    if needed.x is None:
        return f"more labels than can be told, {told(low)} at least"
    return f"{told(max(needed.x - spent, 0.0))} ({_range(low, needed.high, spent, told)})"


def _range(low: float, high: float | None, spent: float, told: Callable[[float], str]) -> str:
    if high is None:
        return f"{told(low)} at least, with no end in sight" if low else "from none at all to no end in sight"
    most = told(max(high - spent, 0.0))
    return f"between {told(low)} and {most}" if low else f"from none at all to {most}"


def _share(needed: Needed) -> str:
    return (
        f"Of 100 curves that fit these intervals {100 * needed.share:.0f} get there: look at the failures, too, before "
        "you label on."
    )


def _far(forecast: Forecast, spent: Point) -> list[str]:
    ways = ((forecast.hours, spent.hours), (forecast.labels, spent.labels))
    if not any(needed and needed.x and known and needed.x > FAR * known for needed, known in ways):
        return []
    return [f"That is more than {FAR} times what was spent so far: take it for a direction, not for a figure."]


def random_words(random: RandomOrder, spent_hours: float) -> list[str]:
    """The estimate in words, or what it lacks."""
    audit, queue = random.audit, random.queue
    if random.ratio is None:
        return [_lacks(random)]
    spent = 3600 * spent_hours
    in_all, least, most = (duration(random.stretched(spent, by)) for by in (random.ratio, random.low, random.high))
    return [
        f"An hour of the queue brought as many changed answers as {random.ratio:.1f} hours in random order would have, "
        f"between {random.low:.1f} and {random.high:.1f} (95 %).",
        f"The {duration(spent)} so far would have been about {in_all}, between {least} and {most}.",
        f"Estimated from the audit, the tasks that are drawn at random: {audit.changed} of {audit.answers} answers "
        f"changed what the model had said, in {duration(audit.seconds)}; of the queue's {queue.changed} of "
        f"{queue.answers}, in {duration(queue.seconds)}. It takes every change for worth the same to the model.",
    ]


def _lacks(random: RandomOrder) -> str:
    audit, queue = random.audit, random.queue
    known = f"{audit.answers} audited answers with a time, of which {audit.changed} changed what the model had said"
    asked = f"at least {LEAST}, and {LEAST_CHANGED} that changed something"
    if random.more_audits:
        return f"It can't be told yet: there are {known}. About {random.more_audits} more are needed: {asked}."
    found = f"{queue.answers} answers with a time, of which {queue.changed} changed something"
    return f"It can't be told yet: the audit has enough, but the queue itself has {found}; it takes {asked}."


def failures_url(project: Project, curve: LearningCurve) -> str:
    """The gallery of what went wrong with the model that served last, or its evaluation where no report was made."""
    served = [one for one in curve.points if one.state != KEPT_BACK]
    if not served:
        return ""
    evaluation = project.evaluations.get(pk=served[-1].evaluation)
    folder = report_folder(evaluation)
    has_report = folder is not None and (folder / "report.json").is_file()
    return reverse("evaluation-report" if has_report else "evaluation", args=[project.slug, evaluation.pk])
