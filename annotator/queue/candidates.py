"""What mining looks at: pairs that nobody has looked at, and what the serving model sees in them."""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
from django.db.models import Exists, OuterRef, Q, QuerySet

from annotator.common.active import pairs_active
from annotator.common.masks import rle_iou
from annotator.models import Draft, FeedFile, Image, ModelVersion, Pair, Prediction, Project, Task

from .acquisition import Candidate

BINS = 20
# Images like these newest answers are queued later; more answers would cost every candidate a comparison.
ANSWERED_COMPARED = 1000
PRESENCE_SCORE = 0.5  # the official metric's threshold: an instance from here on says «it is there»


def tasks_withdrawable(*, project: Project) -> QuerySet[Task]:
    """Queued tasks that nobody has begun and no person asked for: mining may choose afresh."""
    begun = Draft.objects.filter(task=OuterRef("pk"))
    reasons = Task.Reason
    by_hand = (reasons.MANUAL, reasons.SUSPECTED_LABEL, reasons.INCOMPLETE, reasons.SECOND_LABEL)
    asked_for = Q(lane__in=by_hand) | Q(assignee__isnull=False)
    waiting = Task.objects.filter(project=project, state=Task.State.QUEUED).exclude(asked_for)
    # Withdraw both tasks of a double or neither: one that is answered already waits for the other.
    double = Task.objects.filter(Q(twin_of=OuterRef("pk")) | Q(pk=OuterRef("twin_of")))
    double_begun = double.filter(~Q(state=Task.State.QUEUED) | Q(assignee__isnull=False) | Exists(begun))
    return waiting.filter(~Exists(begun), ~Exists(double_begun))


def pairs_to_mine(*, project: Project) -> QuerySet[Pair]:
    """Unseen pairs outside the holdout, without a task that somebody works on."""
    waiting = tasks_withdrawable(project=project).values("pk")
    kept = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES).exclude(pk__in=waiting)
    unseen = pairs_active(project=project).filter(truth=Pair.Truth.UNSEEN)
    unseen = unseen.filter(~Exists(set_aside(project=project)))
    return unseen.exclude(image__split=Image.Split.HOLDOUT).filter(~Exists(kept))


def set_aside(*, project: Project) -> QuerySet[FeedFile]:
    """Of the pair's image: a feed's file that the serving model was sure shows nothing; another model looks anew."""
    aside = FeedFile.objects.filter(image=OuterRef("image"), set_aside=True)
    return aside.filter(judged_by=project.serving_version_id)


def pairs_to_review(*, project: Project) -> QuerySet[Pair]:
    """Pairs outside the holdout whose answers wait for a reviewer: a model that has not learnt from them may vouch."""
    waiting = Task.objects.filter(project=project, state=Task.State.SUBMITTED)
    return Pair.objects.filter(pk__in=waiting.values("pair")).exclude(image__split=Image.Split.HOLDOUT)


def pairs_settled(*, project: Project) -> QuerySet[Pair]:
    """Pairs with a truth outside the holdout, for a second look of the model at what people said."""
    known = pairs_active(project=project).exclude(truth=Pair.Truth.UNSEEN)
    return known.exclude(image__split=Image.Split.HOLDOUT)


def images_unscored(*, pairs: QuerySet[Pair], version: ModelVersion) -> Iterator[tuple[int, dict[str, int]]]:
    """(image id, {concept: pair id}) for those of `pairs` that this version has not scored yet."""
    scored = Prediction.objects.filter(pair=OuterRef("pk"), model_version=version)
    rows = pairs.filter(~Exists(scored)).order_by("image_id", "concept__category_id")
    listed = list(rows.values_list("image_id", "concept__name", "pk"))
    for image_id, group in groupby(listed, key=lambda row: row[0]):
        yield image_id, {concept: pair_id for _, concept, pair_id in group}


def challenger_of(*, project: Project, version: ModelVersion) -> ModelVersion | None:
    """The newest version that was trained here, unless it is `version` itself, the one that serves."""
    newest = ModelVersion.objects.filter(project=project).order_by("-pk").first()
    return newest if newest != version else None


def candidates(*, project: Project, version: ModelVersion) -> list[Candidate]:
    """What acquisition chooses from: every minable pair that this version has scored."""
    found = Prediction.objects.filter(model_version=version, pair__in=pairs_to_mine(project=project))
    others, scores = _second_opinions(project, version), _scores_in_instances(found)
    fields = (
        "pair_id",
        "pair__concept__name",
        "presence",
        "min_stability",
        "feature",
        "query_scores",
        "pair__image__scene",
    )
    rows = found.values_list(*fields).iterator(chunk_size=2000)
    return [
        Candidate(
            pair,
            name,
            presence,
            stability,
            _feature(data),
            *others.get(pair, (None, None)),
            scores=tuple(scores.get(pair, []) if told is None else told),
            scene=scene,
        )
        for pair, name, presence, stability, data, told, scene in rows
    ]


def _scores_in_instances(found: QuerySet[Prediction]) -> dict[int, list[float]]:
    """pair -> its instances' query scores, where the row was written before they were kept apart."""
    rows = found.filter(query_scores__isnull=True).values_list("pair_id", "instances").iterator(chunk_size=500)
    return {pair: [one["query_score"] for one in instances] for pair, instances in rows}


def candidates_answered(*, project: Project, version: ModelVersion) -> list[Candidate]:
    """What people hold or have answered of what this version proposed: it has not learnt from that yet, so that what
    looks the same can wait."""
    taken = (Task.State.CLAIMED, Task.State.SUBMITTED, Task.State.RETURNED, Task.State.APPROVED)
    tasks = Task.objects.filter(project=project, model_version=version, state__in=taken).order_by("-pk")
    pairs = list(tasks.values_list("pair_id", flat=True)[:ANSWERED_COMPARED])
    rows = Prediction.objects.filter(model_version=version, pair__in=pairs).order_by("-pair_id")
    fields = ("pair_id", "pair__concept__name", "presence", "feature", "pair__image__scene")
    listed = rows.values_list(*fields)
    return [
        Candidate(pair, name, presence, None, _feature(data), scene=scene)
        for pair, name, presence, data, scene in listed
    ]


def _second_opinions(project: Project, version: ModelVersion) -> dict[int, tuple[float, float | None]]:
    """pair -> the challenger's presence, and how far its best mask overlaps this version's where both see one."""
    challenger = challenger_of(project=project, version=version)
    if challenger is None:
        return {}
    minable = Prediction.objects.filter(pair__in=pairs_to_mine(project=project))
    seen = Q(instances__0__score__gte=PRESENCE_SCORE)
    own = dict(minable.filter(seen, model_version=version).values_list("pair_id", "instances__0__mask"))
    theirs = dict(minable.filter(seen, model_version=challenger).values_list("pair_id", "instances__0__mask"))
    presences = minable.filter(model_version=challenger).values_list("pair_id", "presence")
    both, exponent = own.keys() & theirs.keys(), _exponent(version, challenger)
    told = ((pair, _rescaled(given, exponent)) for pair, given in presences)
    return {pair: (given, rle_iou(own[pair], theirs[pair]) if pair in both else None) for pair, given in told}


def _exponent(version: ModelVersion, challenger: ModelVersion) -> float:
    """What the challenger's odds are raised to, so that a version that was calibrated and one that never was, such as
    the shipped one, disagree by what they see and not by how sure they sound."""
    own, theirs = (one.metrics.get("presence_calibration", {}).get("temperature") for one in (version, challenger))
    return 1.0 if own and theirs else (theirs or 1.0) / (own or 1.0)


def _rescaled(presence: float, exponent: float) -> float:
    if exponent == 1.0 or not 0 < presence < 1:
        return presence
    return float(1 / (1 + ((1 - presence) / presence) ** exponent))


def presence_counts(*, project: Project, version: ModelVersion) -> list[int]:
    """Minable pairs by presence, twenty bins of equal width over 0..1."""
    found = Prediction.objects.filter(model_version=version, pair__in=pairs_to_mine(project=project))
    presences = np.fromiter(found.values_list("presence", flat=True), dtype=np.float64)
    return np.histogram(presences, bins=BINS, range=(0.0, 1.0))[0].tolist()


def _feature(data: bytes | memoryview) -> np.ndarray | None:
    return np.frombuffer(bytes(data), dtype=np.float16) if len(data) else None
