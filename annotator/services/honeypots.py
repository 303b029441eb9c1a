"""Tasks whose answer is known: they look like any other, are scored at once and never change the truth."""

from collections.abc import Iterable

import numpy as np
from django.db.models import Exists, OuterRef, QuerySet

from annotator.acquisition import audit_words
from annotator.models import Annotation, Image, Pair, Prediction, Project, Task
from annotator.selectors.quality import overlap

KNOWN = (Pair.TruthSource.ANNOTATED, Pair.TruthSource.DRAWN)


def honeypots_add(*, project: Project, number: int, seed: int) -> list[Task]:
    """Queue a share of a batch, drawn from settled pairs that a model has looked at and nobody works on."""
    wanted = int(project.mine_batch * project.honeypot_share + 0.5)
    if not wanted:
        return []
    rng = np.random.default_rng(seed)
    known = list(_pairs(project).values_list("pk", flat=True).order_by("pk"))
    drawn = rng.choice(known, size=min(wanted, len(known)), replace=False).tolist() if known else []
    tasks = [_task(project, prediction, number, float(rng.random())) for prediction in _newest(drawn)]
    return Task.objects.bulk_create(tasks)


def _pairs(project: Project) -> QuerySet[Pair]:
    """Known pairs, the holdout left out as by all mining."""
    worked_on = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES)
    seen = Prediction.objects.filter(pair=OuterRef("pk"))
    known = project.pairs.exclude(truth=Pair.Truth.UNSEEN).filter(truth_source__in=KNOWN)
    return known.exclude(image__split=Image.Split.HOLDOUT).filter(~Exists(worked_on), Exists(seen))


def _newest(pairs: list[int]) -> Iterable[Prediction]:
    rows = Prediction.objects.filter(pair__in=pairs).select_related("pair__concept").order_by("pk")
    return {row.pair_id: row for row in rows.defer("instances", "feature", "pair__instances")}.values()


def _task(project: Project, prediction: Prediction, number: int, priority: float) -> Task:
    """Among the others, and with an audit's words: whoever is told which it is, is not tested."""
    words = audit_words(prediction.pair.concept.name, prediction.presence)
    return Task(
        project=project,
        pair_id=prediction.pair_id,
        model_version_id=prediction.model_version_id,
        lane=Task.Lane.HONEYPOT,
        reasons=[{"kind": "audit", "value": prediction.presence, "words": words}],
        priority=priority,
        round=number,
    )


def honeypot_score(*, annotation: Annotation) -> dict:
    """{verdict_right, iou}: the answer against the pair's truth."""
    truth = annotation.pair
    iou = overlap(annotation.instances, truth.instances)
    return {"verdict_right": annotation.verdict == truth.truth, "iou": round(iou, 4)}


def feedback_of(*, annotation: Annotation) -> dict | None:
    """What the annotator is told at once, where the project allows it: the score and a sentence."""
    scored = annotation.scored
    if scored is None or not annotation.task.project.honeypot_feedback:
        return None
    if not scored["verdict_right"]:
        known = "it is in the image" if annotation.pair.truth == Pair.Truth.PRESENT else "it is not in the image"
        return scored | {"words": f"The answer to this one was known: {known}."}
    return scored | {"words": f"The answer to this one was known: right; overlap {100 * scored['iou']:.0f} %."}
