"""How much of the holdout is labelled: without positives and negatives the gate can't judge, with few only roughly."""

from dataclasses import dataclass

from django.db.models import Count, Q

from annotator.common.active import pairs_active
from annotator.models import Image, Pair, Project, Task
from toolbox.gate_policy import NONE_MORE, fewest_pairs


@dataclass(frozen=True)
class Holdout:
    """Pairs of the holdout by truth; `waiting`: in the queue or at a desk; `incomplete`: present, but not all is
    outlined, so that no model is judged by them. With fewer than `fewest_*` the policy's margins let no gain pass."""

    positives: int
    negatives: int
    unseen: int
    waiting: int
    incomplete: int = 0
    fewest_positives: int = 0
    fewest_negatives: int = 0

    @property
    def can_judge(self) -> bool:
        return bool(self.positives and self.negatives)

    @property
    def is_comfortable(self) -> bool:
        return self.positives >= self.fewest_positives and self.negatives >= self.fewest_negatives

    @property
    def left(self) -> int:
        """What a press of the button could still queue."""
        return max(self.unseen - self.waiting, 0)


def holdout_state(*, project: Project) -> Holdout:
    pairs = pairs_active(project=project).filter(image__split=Image.Split.HOLDOUT)
    open_pairs = Count("id", filter=Q(is_exhaustive=False))
    rows = pairs.order_by().values_list("truth").annotate(n=Count("id"), open=open_pairs)
    found = {truth: (count - left_open, left_open) for truth, count, left_open in rows}
    asked = project.tasks.filter(lane=Task.Reason.MANUAL, state__in=Task.OPEN_STATES)
    waiting = asked.filter(pair__image__split=Image.Split.HOLDOUT).count()
    truth = Pair.Truth
    positives, incomplete = found.get(truth.PRESENT, (0, 0))
    negatives, unseen = found.get(truth.ABSENT, (0, 0))[0], sum(found.get(truth.UNSEEN, (0, 0)))
    return Holdout(positives, negatives, unseen, waiting, incomplete, *_fewest(project))


def _fewest(project: Project) -> tuple[int, int]:
    """(positives, negatives) that the project's policy takes, where both models find and fire alike."""
    misses, alarms = project.gate_recall_margin, project.gate_alarm_margin
    if project.gate_alarms == NONE_MORE:
        alarms = 1.0
    needed = (fewest_pairs(margin, project.gate_confidence) for margin in (misses, alarms))
    positives, negatives = (max(project.gate_min_scenes, count) for count in needed)
    return positives, negatives
