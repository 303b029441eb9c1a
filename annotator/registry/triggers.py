"""Retrains that start by themselves: after so many approvals, or by the calendar; each with a rest after the last."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from annotator.common.active import pairs_active
from annotator.common.errors import RoostError
from annotator.jobs.kinds import sweep_every
from annotator.models import Job, Pair, Project, RetrainTry, TrainingRun

from .training_runs import retrain_start

log = logging.getLogger(__name__)

LOOKED_EVERY_SECONDS = 60.0
HOUR = 2  # UTC, when few people are at their desks in Europe and Africa
Schedule, Trigger = Project.RetrainSchedule, TrainingRun.Trigger


@sweep_every(LOOKED_EVERY_SECONDS, apart=True)  # a snapshot may take its time
def retrains_look() -> list[int]:
    """Start what is due; the jobs' ids. Of several workers that look at once, one starts it."""
    off = Project.objects.filter(retrain_schedule=Schedule.NEVER)
    RetrainTry.objects.filter(project__in=off).update(counts_from=timezone.now())
    jobs = []
    for project in _asking():
        RetrainTry.objects.get_or_create(project=project, defaults={"counts_from": timezone.now()})
        job = retrain_by_itself(project=project)
        jobs += [job.pk] if job else []
    return jobs


def _asking() -> QuerySet[Project]:
    return Project.objects.filter(Q(retrain_after_approvals__gt=0) | ~Q(retrain_schedule=Schedule.NEVER))


def retrain_by_itself(*, project: Project) -> Job | None:
    """The job, where one was due and nothing forbade it; a refusal is kept for the page, and rested upon."""
    tried = project.retrain_try
    outlook = _outlook(project, tried)
    trigger = outlook.due_by(timezone.now())
    if trigger is None:
        return None
    mine = RetrainTry.objects.filter(pk=tried.pk, tried_at=tried.tried_at)
    if not mine.update(tried_at=timezone.now(), refusal=""):
        return None
    try:
        return retrain_start(project=project, user=None, trigger=trigger)
    except RoostError as error:
        log.info("the retrain of %s that was due (%s) did not start: %s", project.slug, trigger, error)
        RetrainTry.objects.filter(pk=tried.pk).update(refusal=str(error))
        return None


@dataclass(frozen=True)
class Outlook:
    """When the next one comes: `missing` approvals or None, a date of the calendar or None, and not before `rested`."""

    missing: int | None
    date: datetime | None
    rested: datetime | None
    is_busy: bool

    def due_by(self, now: datetime) -> str | None:
        if self.is_busy or (self.rested and now < self.rested):
            return None
        if self.missing == 0:
            return Trigger.APPROVALS
        return Trigger.SCHEDULE if self.date and self.date <= now else None


def _outlook(project: Project, tried: RetrainTry | None) -> Outlook:
    last = project.training_runs.select_related("snapshot", "job").first()
    missing = None
    if project.retrain_after_approvals:
        approved = pairs_active(project=project).filter(truth_source=Pair.TruthSource.ANNOTATED)
        since = approved.filter(settled_at__gt=last.snapshot.created_at) if last else approved
        missing = max(0, project.retrain_after_approvals - since.count())
    moments = [last.created_at] if last else []
    moments += [tried.tried_at] if tried and tried.tried_at else []
    rested = max(moments) + timedelta(hours=project.retrain_rest_hours) if moments else None
    begin = max([*moments, tried.counts_from if tried else timezone.now()])
    is_busy = project.jobs.filter(kind=Job.Kind.RETRAIN, state__in=Job.IN_FLIGHT).exists()
    return Outlook(missing, date_after(begin, project.retrain_schedule), rested, is_busy)


def date_after(moment: datetime, schedule: str) -> datetime | None:
    """The calendar's next date after this moment."""
    day = moment.replace(hour=HOUR, minute=0, second=0, microsecond=0)
    if schedule == Schedule.WEEKLY:
        day -= timedelta(days=day.weekday())
        return day if day > moment else day + timedelta(days=7)
    if schedule == Schedule.MONTHLY:
        first = day.replace(day=1)
        return first if first > moment else (first + timedelta(days=32)).replace(day=1)
    return None


def next_retrain(*, project: Project) -> str:
    """For the training page: when the next one starts by itself, and why the last one did not."""
    tried = RetrainTry.objects.filter(project=project).first()
    outlook, now = _outlook(project, tried), timezone.now()
    words = _next(outlook, now)
    if tried and tried.tried_at and tried.refusal and (outlook.missing is not None or outlook.date):
        words += f" The one that was to start {_at(tried.tried_at)} did not: {tried.refusal}"
    return words


def _next(outlook: Outlook, now: datetime) -> str:
    if outlook.missing is None and outlook.date is None:
        return "No retrain starts by itself in this project."
    if outlook.is_busy:
        return "A retrain is under way; the next one starts by itself after it has ended, when it is due."
    waits = outlook.rested if outlook.rested and outlook.rested > now else None
    if outlook.due_by(max(now, waits or now)):
        return f"A retrain is due: it starts by itself {_at(waits) if waits else 'within two minutes'}."
    ways = [f"after {outlook.missing} more approval{'s' * (outlook.missing != 1)}"] if outlook.missing else []
    ways += [_at(max(outlook.date, waits or outlook.date))] if outlook.date else []
    return f"The next retrain starts by itself {' or '.join(ways)}{', whichever comes first' if ways[1:] else ''}."


def _at(moment: datetime) -> str:
    return f"on {moment.day} {moment:%B} at {moment:%H:%M} UTC"
