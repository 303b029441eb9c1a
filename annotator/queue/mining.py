"""Mining: the serving model looks at every pair that nobody has looked at, and the queue is chosen afresh."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from functools import partial

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from annotator import ml_client
from annotator.common.batches import batched
from annotator.common.errors import BackendError, RoostError
from annotator.common.patience import asked_patiently
from annotator.common.rounds import round_current
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.ml_client import ConceptPrediction, ImagePrediction
from annotator.models import Image, Job, ModelVersion, Pair, Prediction, Project, Task

from .acquisition import Choice, Thresholds, choose
from .candidates import (
    PRESENCE_SCORE,
    candidates,
    candidates_answered,
    challenger_of,
    images_unscored,
    pairs_settled,
    pairs_to_mine,
    pairs_to_review,
    presence_counts,
    tasks_withdrawable,
)
from .doubles import doubles_add
from .known_answers import known_answers_add, known_answers_draw
from .price_figures import price_figures

IMAGES_A_CALL = 8
ROWS_A_WRITE = 500
FAILURES_LISTED = 200


def mining_start(
    *, project: Project, user: AbstractBaseUser | None, settled: bool = False, challenger: bool = False
) -> Job:
    """Enqueue mining with the version that serves now; 409 while another mining is under way.

    `settled`: look at pairs with a truth, too, so that suspected label errors can be found; none is queued by that.
    `challenger`: ask the newest model that does not serve as well, so that disagreement can be found.
    """
    params = {"model_version": project.serving_version.name, "settled": settled}
    if challenger:
        params["challenger"] = _challenger(project).name
    anything = pairs_to_mine(project=project).exists() or (settled and pairs_settled(project=project).exists())
    if not anything:
        words = "There is nothing to mine: every pair has been looked at or is in work, or there is none yet."
        raise RoostError(words, code="nothing_to_mine")
    return job_enqueue(project=project, kind=Job.Kind.MINE, params=params, created_by=user)


def _challenger(project: Project) -> ModelVersion:
    version = challenger_of(project=project, version=project.serving_version)
    if version is None:
        words = "There is no challenger to ask: the newest model that was trained here serves, or none was trained."
        raise RoostError(words, code="no_challenger")
    return version


@job_kind(Job.Kind.MINE, queue="inference")
def mining_run(context: JobContext) -> dict:
    """Score, choose, queue, warm. Run again after a crash it skips what is scored already."""
    project, params = context.job.project, context.job.params
    version = ModelVersion.objects.get(name=params["model_version"])
    known_answers = known_answers_draw(project=project, seed=context.job.pk)
    wanted = (
        Q(pk__in=pairs_to_mine(project=project)) | Q(pk__in=known_answers) | Q(pk__in=pairs_to_review(project=project))
    )
    looked_at = project.pairs.filter(wanted)
    if params.get("settled"):
        looked_at = project.pairs.filter(Q(pk__in=looked_at.values("pk")) | Q(pk__in=pairs_settled(project=project)))
    skipped = Prediction.objects.filter(model_version=version, pair__in=looked_at).count()
    scored, failed = _score(context, looked_at, version)
    asked = _score_challenger(context, project, params.get("challenger"))
    histogram = {"counts": presence_counts(project=project, version=version)}
    chosen = choose(
        candidates(project=project, version=version),
        thresholds_of(project),
        seed=context.job.pk,
        answered=candidates_answered(project=project, version=version),
        figures=price_figures(project=project),
    )
    tasks = queue_refill(
        project=project, version=version, choices=chosen, seed=context.job.pk, known_answers=known_answers
    )
    counts = {reason: sum(task.lane == reason for task in tasks) for reason in Task.Reason.values}
    return {
        "model_version": version.name,
        "round": round_current(project=project),
        "scored": scored,
        "skipped": skipped,
        **asked,
        "failed": failed[:FAILURES_LISTED],
        "failed_count": len(failed),
        "queued": {reason: count for reason, count in counts.items() if count},
        "histogram": histogram,
        "warmed": _warm(version, tasks),
    }


def thresholds_of(project: Project) -> Thresholds:
    names = [field.name for field in fields(Thresholds) if field.name != "batch"]
    return Thresholds(batch=project.mine_batch, **{name: getattr(project, name) for name in names})


def _score_challenger(context: JobContext, project: Project, name: str | None) -> dict[str, int]:
    """What was scored with the second model, whose failures are the first one's again."""
    if name is None:
        return {}
    scored, _ = _score(context, pairs_to_mine(project=project), ModelVersion.objects.get(name=name))
    return {"challenger_scored": scored}


def _score(context: JobContext, pairs: QuerySet[Pair], version: ModelVersion) -> tuple[int, list[dict]]:
    """Predictions for all that this version has not seen: (pairs scored, [{image, reason}])."""
    todo = list(images_unscored(pairs=pairs, version=version))
    images = Image.objects.in_bulk([image_id for image_id, _ in todo])
    started, done, scored, failed = time.monotonic(), 0, 0, []
    for batch in batched(todo, IMAGES_A_CALL):
        concepts = sorted({concept for _, wanted in batch for concept in wanted})
        answers = _predict(context, version, [images[image_id] for image_id, _ in batch], concepts)
        scored += _store(version, answers, [wanted for _, wanted in batch])
        named = zip(batch, answers, strict=True)
        failed += [
            {"image": images[image_id].original_name, "reason": answer.failure}
            for (image_id, _), answer in named
            if answer.failure
        ]
        done += len(batch)
        left = (time.monotonic() - started) / done * (len(todo) - done)
        words = f"{version.name} looked at {done} of {len(todo)} images"
        context.progress(0.98 * done / len(todo), words, eta_seconds=left)
    return scored, failed


def _predict(
    context: JobContext, version: ModelVersion, images: Sequence[Image], concepts: Sequence[str]
) -> list[ImagePrediction]:
    return asked_patiently(
        lambda: ml_client.predict(model_version=version.name, images=images, concepts=concepts),
        wait=partial(_wait, context),
    )


def _wait(context: JobContext, seconds: float, reason: BackendError) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        context.progress(context.job.progress, f"Waiting for the ML backend: {reason}")
        time.sleep(0.5)


def _store(version: ModelVersion, answers: Sequence[ImagePrediction], pairs: Sequence[dict[str, int]]) -> int:
    rows = [
        _row(version, pair_id, answer, answer.concepts[concept])
        for answer, wanted in zip(answers, pairs, strict=True)
        if not answer.failure
        for concept, pair_id in wanted.items()
    ]
    for some in batched(rows, ROWS_A_WRITE):
        with transaction.atomic():
            # An attempt that was believed dead may have written the row already: keep it.
            Prediction.objects.bulk_create(some, ignore_conflicts=True)
    return len(rows)


def _row(version: ModelVersion, pair_id: int, answer: ImagePrediction, found: ConceptPrediction) -> Prediction:
    stabilities = [one.stability for one in found.instances if one.query_score >= PRESENCE_SCORE]
    return Prediction(
        pair_id=pair_id,
        model_version=version,
        presence=found.presence,
        instances=[asdict(one) for one in found.instances],
        query_scores=[round(one.query_score, 4) for one in found.instances],
        min_stability=min(stabilities, default=None),
        feature=answer.feature,
        taught=found.taught,
        seconds=answer.seconds,
    )


@transaction.atomic
def queue_refill(
    *, project: Project, version: ModelVersion, choices: Iterable[Choice], seed: int, known_answers: Sequence[int] = ()
) -> list[Task]:
    """Withdraw what waits unclaimed and queue the choices instead; what somebody took meanwhile stays theirs.

    By the project's share some of them are queued twice, and `known_answers`, pairs with a known answer, are mixed in.
    """
    tasks_withdrawable(project=project).update(state=Task.State.WITHDRAWN, updated_at=Now())
    wanted = {choice.pair_id: choice for choice in choices}
    free = pairs_to_mine(project=project).filter(pk__in=wanted).values_list("pk", flat=True)
    number = round_current(project=project)
    tasks = [
        Task(
            project=project,
            pair_id=pair_id,
            model_version=version,
            lane=wanted[pair_id].reason,
            reasons=wanted[pair_id].reasons,
            priority=wanted[pair_id].priority,
            price_seconds=wanted[pair_id].price_seconds,
            round=number,
        )
        for pair_id in free
    ]
    queued = Task.objects.bulk_create(tasks, batch_size=ROWS_A_WRITE)
    doubles = doubles_add(project=project, tasks=queued)
    return (
        queued
        + doubles
        + known_answers_add(project=project, version=version, pairs=known_answers, number=number, seed=seed)
    )


def _warm(version: ModelVersion, tasks: Sequence[Task]) -> int | str:
    """Embeddings for the first click of each task; a refusal only makes the first click slower, so it is reported and
    does not fail the job."""
    in_order = [task.pair_id for task in sorted(tasks, key=lambda task: -task.priority)]
    known = dict(Pair.objects.filter(pk__in=in_order).values_list("pk", "image__sha256"))
    images = list(dict.fromkeys(known[pair_id] for pair_id in in_order))
    try:
        return ml_client.warm(model_version=version.name, images=images)
    except BackendError as error:
        return str(error)
