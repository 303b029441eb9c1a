"""Footage in which the serving model is sure of nothing is set aside; a random sample of it tells what that misses."""

import hashlib

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from annotator.common.rounds import round_current
from annotator.models import Feed, FeedFile, Image, Pair, Prediction, Project, Task
from annotator.queue.candidates import tasks_withdrawable

SAMPLE_SHARE = 0.05
FILES_A_LOOK = 2000
WORDS = "Drawn by chance from what the model is sure shows nothing, to learn what it misses: it gives “{}” {:.0f} %."


@transaction.atomic
def feed_judge(*, feed: Feed) -> int:
    """Judge the images that the serving version has scored wholly and that were not judged by it; how many.

    Set aside: every presence lies below the band. A set-aside image is mined again when another version serves.
    """
    project = feed.project
    files = list(_judgeable(feed, project).select_related("image").order_by("pk")[:FILES_A_LOOK])
    doubtful = set(_doubtful(project, files))
    version = project.serving_version_id
    aside = [file for file in files if file.image_id not in doubtful]
    sampled = [file for file in aside if file.image and is_sampled(file.image.sha256)]
    FeedFile.objects.filter(pk__in=[file.pk for file in files]).update(
        judged_by=version, set_aside=False, sampled=False
    )
    FeedFile.objects.filter(pk__in=[file.pk for file in aside]).update(set_aside=True)
    FeedFile.objects.filter(pk__in=[file.pk for file in sampled]).update(sampled=True)
    images = [file.image_id for file in aside]
    fills = tasks_withdrawable(project=project).filter(pair__image__in=images, lane=Task.Reason.FILL)
    fills.update(state=Task.State.WITHDRAWN, updated_at=Now())
    _queue(project, [file.image_id for file in sampled])
    return len(files)


def is_sampled(sha256: str) -> bool:
    """Decided by the image alone, so that nobody can draw until it suits."""
    return int.from_bytes(hashlib.sha256(f"miss {sha256}".encode()).digest()[:8], "big") / 2**64 < SAMPLE_SHARE


def _judgeable(feed: Feed, project: Project) -> QuerySet[FeedFile]:
    """Imported, not of the holdout, nothing on it settled, every pair scored."""
    scored = Prediction.objects.filter(pair=OuterRef("pk"), model_version=project.serving_version_id)
    pairs = Pair.objects.filter(image=OuterRef("image"), concept__retired_at=None)
    files = feed.files.filter(Q(judged_by=None) | ~Q(judged_by=project.serving_version_id), image__isnull=False)
    files = files.exclude(image__split=Image.Split.HOLDOUT).filter(state=FeedFile.State.IMPORTED)
    open_pairs = pairs.filter(Q(truth=Pair.Truth.UNSEEN) & ~Exists(scored))
    settled = pairs.exclude(truth=Pair.Truth.UNSEEN)
    return files.filter(Exists(pairs), ~Exists(open_pairs), ~Exists(settled))


def _doubtful(project: Project, files: list[FeedFile]) -> QuerySet:
    seen = Prediction.objects.filter(
        model_version=project.serving_version_id,
        pair__image__in=[file.image_id for file in files],
        pair__concept__retired_at=None,
        presence__gte=project.presence_low,
    )
    return seen.values_list("pair__image", flat=True)


def _queue(project: Project, images: list[int]) -> None:
    waiting = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES)
    pairs = Pair.objects.filter(image__in=images, concept__retired_at=None, truth=Pair.Truth.UNSEEN)
    seen = Prediction.objects.filter(pair__in=pairs.filter(~Exists(waiting)), model_version=project.serving_version_id)
    number = round_current(project=project)
    rows = seen.annotate(concept=F("pair__concept__name")).values_list("pair", "concept", "presence")
    Task.objects.bulk_create(
        Task(
            project=project,
            pair_id=pair,
            model_version_id=project.serving_version_id,
            lane=Task.Reason.MANUAL,
            reasons=[{"kind": "set_aside", "value": presence, "words": WORDS.format(concept, 100 * presence)}],
            priority=0.5,
            round=number,
        )
        for pair, concept, presence in rows
    )
