"""Where people and the serving model contradict each other: its error on what was drawn at random, suspected labels."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q, QuerySet

from annotator.common.active import pairs_active
from annotator.common.agreement import wilson_interval
from annotator.models import Annotation, Image, Pair, Prediction, Project, Task

from .candidates import PRESENCE_SCORE

# A share of fewer pairs says nothing.
LEAST = 10
# Confidently opposite: an instance from here on where people saw none; a presence up to there where they saw some.
SURE_OF_INSTANCE, SURE_OF_NONE = 0.8, 0.1


@dataclass(frozen=True)
class ProductionError:
    """Audited pairs on which the serving model's verdict was wrong, of all audited pairs; 95 % interval."""

    wrong: int
    total: int

    @property
    def share(self) -> float | None:
        return self.wrong / self.total if self.total >= LEAST else None

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.wrong, self.total)


@dataclass(frozen=True)
class BandTruth:
    """Of the audited pairs that the serving model gives a presence inside the band, in how many the thing was there."""

    there: int
    total: int

    @property
    def share(self) -> float | None:
        return self.there / self.total if self.total >= LEAST else None

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.there, self.total)


@dataclass(frozen=True)
class Audited:
    """An answered audit task's pair: is it there, and what the serving model says: presence, its best score."""

    pair_id: int
    is_there: bool
    presence: float
    best: float


def audited_pairs(*, project: Project) -> list[Audited]:
    """Answered audit tasks that the serving model itself queued: they were drawn before anything else was, and it has
    not learnt from them.

    An answer that still waits for a reviewer counts as it is: were it left out until then, a policy that has only
    disagreements reviewed would leave out just those on which the model was wrong.
    """
    version = project.serving_version_id
    audits = project.tasks.filter(lane=Task.Reason.AUDIT, model_version=version)
    waiting = audits.filter(state__in=(Task.State.SUBMITTED, Task.State.RETURNED))
    answers = Annotation.objects.filter(task__in=waiting).order_by("task", "revision")
    truths = dict(answers.values_list("pair_id", "verdict"))
    approved = audits.filter(state=Task.State.APPROVED, pair__is_exhaustive=True)
    truths |= dict(approved.values_list("pair_id", "pair__truth"))
    judged = Prediction.objects.filter(model_version=version, pair__in=audits.values("pair"))
    return [
        Audited(pair, truths[pair] == Pair.Truth.PRESENT, presence, best or 0.0)
        for pair, presence, best in judged.values_list("pair_id", "presence", "instances__0__score")
        if pair in truths
    ]


def production_error(*, project: Project) -> ProductionError:
    audited = audited_pairs(project=project)
    wrong = sum(one.is_there != (one.best >= PRESENCE_SCORE) for one in audited)
    return ProductionError(wrong, len(audited))


def band_truth(*, project: Project) -> BandTruth:
    """What the band means: were presence calibrated, about half of these would have the thing."""
    low, high = project.presence_low, project.presence_high
    inside = [one.is_there for one in audited_pairs(project=project) if low <= one.presence <= high]
    return BandTruth(sum(inside), len(inside))


def suspected_labels(*, project: Project) -> QuerySet[Prediction]:
    """The serving model's predictions that contradict a label confidently, the pair not asked about again yet.

    What was drawn with its truth can't be wrong, and the holdout is never chosen by what a model thinks. Pairs in which
    not all is outlined have a queue of their own (incomplete.py).
    """
    seen, pairs = Prediction.objects.filter(model_version_id=project.serving_version_id), pairs_active(project=project)
    # Where an instance scores so much presence is above 0.5, calibrated or not: so the index on presence finds the few
    # whose masks must be read.
    fired = seen.filter(presence__gte=PRESENCE_SCORE, pair__in=pairs.filter(truth=Pair.Truth.ABSENT))
    fired = fired.filter(instances__0__score__gte=SURE_OF_INSTANCE)
    denied = seen.filter(
        presence__lte=SURE_OF_NONE, pair__in=pairs.filter(truth=Pair.Truth.PRESENT, is_exhaustive=True)
    )
    asked = Q(state__in=Task.OPEN_STATES) | Q(
        lane=Task.Reason.SUSPECTED_LABEL, model_version=project.serving_version_id
    )
    again = Task.objects.filter(asked, pair=OuterRef("pair"))
    found = Prediction.objects.filter(Q(pk__in=fired.values("pk")) | Q(pk__in=denied.values("pk")))
    found = found.exclude(pair__truth_source=Pair.TruthSource.DRAWN).exclude(pair__image__split=Image.Split.HOLDOUT)
    return found.filter(~Exists(again)).order_by("pk")
