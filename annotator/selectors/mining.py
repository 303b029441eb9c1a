"""What mining looks at: pairs that nobody has looked at, and what the serving model sees in them."""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
from django.db.models import Exists, OuterRef, Q, QuerySet

from annotator.acquisition import Candidate
from annotator.models import Draft, Image, ModelVersion, Pair, Prediction, Project, Task

BINS = 20


def tasks_withdrawable(*, project: Project) -> QuerySet[Task]:
    """Queued tasks that nobody has begun and no person asked for: mining may choose afresh."""
    begun = Draft.objects.filter(task=OuterRef("pk"))
    asked_for = Q(lane__in=(Task.Lane.MANUAL, Task.Lane.SUSPECT)) | Q(assignee__isnull=False)
    waiting = Task.objects.filter(project=project, state=Task.State.QUEUED).exclude(asked_for)
    return waiting.filter(~Exists(begun))


def pairs_to_mine(*, project: Project) -> QuerySet[Pair]:
    """Unseen pairs outside the holdout, without a task that somebody works on."""
    waiting = tasks_withdrawable(project=project).values("pk")
    kept = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES).exclude(pk__in=waiting)
    unseen = Pair.objects.filter(project=project, truth=Pair.Truth.UNSEEN)
    return unseen.exclude(image__split=Image.Split.HOLDOUT).filter(~Exists(kept))


def images_unscored(*, project: Project, version: ModelVersion) -> Iterator[tuple[int, dict[str, int]]]:
    """(image id, {concept: pair id}) for what this version has not scored yet."""
    scored = Prediction.objects.filter(pair=OuterRef("pk"), model_version=version)
    rows = pairs_to_mine(project=project).filter(~Exists(scored)).order_by("image_id", "concept__category_id")
    listed = list(rows.values_list("image_id", "concept__name", "pk"))
    for image_id, group in groupby(listed, key=lambda row: row[0]):
        yield image_id, {concept: pair_id for _, concept, pair_id in group}


def candidates(*, project: Project, version: ModelVersion) -> list[Candidate]:
    """What acquisition chooses from: every minable pair that this version has scored."""
    found = Prediction.objects.filter(model_version=version, pair__in=pairs_to_mine(project=project))
    fields = ("pair_id", "pair__concept__name", "presence", "min_stability", "feature")
    return [
        Candidate(pair_id, concept, presence, stability, _feature(feature))
        for pair_id, concept, presence, stability, feature in found.values_list(*fields).iterator(chunk_size=2000)
    ]


def presence_counts(*, project: Project, version: ModelVersion) -> list[int]:
    """Minable pairs by presence, twenty bins of equal width over 0..1."""
    found = Prediction.objects.filter(model_version=version, pair__in=pairs_to_mine(project=project))
    presences = np.fromiter(found.values_list("presence", flat=True), dtype=np.float64)
    return np.histogram(presences, bins=BINS, range=(0.0, 1.0))[0].tolist()


def _feature(data: bytes | memoryview) -> np.ndarray | None:
    return np.frombuffer(bytes(data), dtype=np.float16) if len(data) else None
