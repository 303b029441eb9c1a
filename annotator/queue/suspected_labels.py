"""A second look at labels that the serving model contradicts with confidence."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.common.rounds import round_current
from annotator.models import Pair, Prediction, Project, Task

from .model_errors import suspected_labels

MOST = 500


@transaction.atomic
def suspected_labels_queue(*, project: Project, user: AbstractBaseUser) -> list[Task]:
    """Queue suspected label errors, at most 500; a pair keeps its truth until the new answer is approved."""
    found = suspected_labels(project=project).select_related("pair__concept").defer("feature", "pair__instances")
    number = round_current(project=project)
    tasks = [_task(project, prediction, number) for prediction in found[:MOST]]
    if not tasks:
        words = "No label is suspected: let mining look at settled pairs again, so that the model can contradict them."
        raise RoostError(words, code="no_suspects")
    audit_record(project=project, actor=user, action="suspects.queue", subject=project.name, pairs=len(tasks))
    return Task.objects.bulk_create(tasks)


def _task(project: Project, prediction: Prediction, number: int) -> Task:
    value, words = _reason(prediction)
    return Task(
        project=project,
        pair_id=prediction.pair_id,
        model_version_id=prediction.model_version_id,
        lane=Task.Reason.SUSPECTED_LABEL,
        reasons=[{"kind": "suspect", "value": value, "words": words}],
        priority=1.0,
        round=number,
    )


def _reason(prediction: Prediction) -> tuple[float, str]:
    """What the label says and how sure the model is of the opposite."""
    concept = prediction.pair.concept.name
    if prediction.pair.truth == Pair.Truth.ABSENT:
        best = prediction.instances[0]["score"]
        return (
            best,
            f"Suspected label error: stored as «no {concept}», but the model is {100 * best:.0f} % sure of one.",
        )
    presence = prediction.presence
    return presence, f"Suspected label error: stored with “{concept}”, but the model gives it {100 * presence:.0f} %."
