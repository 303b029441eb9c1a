"""Tasks whose answer is known: they look like any other, also to reviewers; they are scored and change no truth."""

from collections.abc import Sequence

import numpy as np
from django.db.models import Exists, OuterRef, QuerySet

from annotator.common.active import pairs_active
from annotator.common.agreement import overlap
from annotator.models import Annotation, Image, ModelVersion, Pair, Prediction, Project, Task

from .acquisition import audit_words

KNOWN = (Pair.TruthSource.ANNOTATED, Pair.TruthSource.DRAWN)


def known_answers_draw(*, project: Project, seed: int) -> list[int]:
    """Pairs to mix into a batch, drawn from the settled ones that nobody works on; mining scores them like the rest."""
    wanted = int(project.mine_batch * project.honeypot_share + 0.5)
    known = list(_pairs(project).values_list("pk", flat=True).order_by("pk")) if wanted else []
    return np.random.default_rng(seed).choice(known, min(wanted, len(known)), replace=False).tolist() if known else []


def known_answers_add(
    *, project: Project, version: ModelVersion, pairs: Sequence[int], number: int, seed: int
) -> list[Task]:
    """Queue drawn pairs with the proposals of the version that serves: an older one's would give them away."""
    rng = np.random.default_rng(seed)
    rows = Prediction.objects.filter(model_version=version, pair__in=_pairs(project).filter(pk__in=pairs))
    rows = rows.select_related("pair__concept").defer("instances", "feature", "pair__instances").order_by("pk")
    return Task.objects.bulk_create([_task(project, row, number, float(rng.random())) for row in rows])


def _pairs(project: Project) -> QuerySet[Pair]:
    """Known pairs, the holdout left out as by all mining; where not all is outlined, a better answer would be wrong."""
    worked_on = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES)
    known = pairs_active(project=project).exclude(truth=Pair.Truth.UNSEEN).filter(truth_source__in=KNOWN)
    known = known.filter(is_exhaustive=True)
    return known.exclude(image__split=Image.Split.HOLDOUT).filter(~Exists(worked_on))


def _task(project: Project, prediction: Prediction, number: int, priority: float) -> Task:
    """Among the others, and with an audit's words: whoever is told which it is, is not tested."""
    words = audit_words(prediction.pair.concept.name, prediction.presence)
    return Task(
        project=project,
        pair_id=prediction.pair_id,
        model_version_id=prediction.model_version_id,
        lane=Task.Reason.KNOWN_ANSWER,
        reasons=[{"kind": "audit", "value": prediction.presence, "words": words}],
        priority=priority,
        round=number,
    )


def known_answer_score(*, annotation: Annotation) -> dict:
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
