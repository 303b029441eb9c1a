"""Have the ML backend encode images before somebody clicks on them. Nothing waits for this, and its failure breaks
nothing."""

import logging
import threading
from collections.abc import Iterable

from django.db import transaction
from django.db.models import Case, Q, Value, When

from annotator import ml_client
from annotator.common.access import Person
from annotator.common.errors import BackendError
from annotator.models import ModelVersion, Project, Task

log = logging.getLogger(__name__)
AHEAD = 3
QUEUE_IMAGES = 256  # at SAM 3's size 5 GB of embeddings
AT_ONCE = 4
_under_way = threading.BoundedSemaphore(AT_ONCE)


def claim_warm(*, task: Task, user: Person) -> None:
    """The claimed image, and those that come next for this person."""
    free = Task.objects.filter(project=task.project_id, state=Task.State.QUEUED)
    coming = free.filter(Q(assignee=None) | Q(assignee=user.pk)).order_by("skips", "-priority", "pk")
    images = [task.pair.image.sha256, *coming.values_list("pair__image__sha256", flat=True)[:AHEAD]]
    _on_commit(task.project.serving_version, images)


def queue_warm(*, project: Project, version: ModelVersion) -> None:
    """What people are at, then the top of the queue: a version with another ViT has no embeddings of either."""
    waiting = Task.objects.filter(project=project, state__in=(Task.State.CLAIMED, Task.State.QUEUED))
    first = Case(When(state=Task.State.CLAIMED, then=Value(0)), default=Value(1))
    images = waiting.order_by(first, "skips", "-priority", "pk").values_list("pair__image__sha256", flat=True)
    _on_commit(version, images[:QUEUE_IMAGES])


def _on_commit(version: ModelVersion, images: Iterable[str]) -> None:
    distinct = list(dict.fromkeys(images))
    transaction.on_commit(lambda: _start(version.name, distinct))


def _start(version: str, images: list[str]) -> None:
    """On a thread; dropped while the backend is still busy with earlier requests."""
    if images and _under_way.acquire(blocking=False):
        threading.Thread(target=_warm, args=(version, images), name="warm").start()


def _warm(version: str, images: list[str]) -> None:
    try:
        ml_client.warm(model_version=version, images=images)
    except BackendError as error:
        log.info("%d images were not read ahead: %s", len(images), error)
    finally:
        _under_way.release()
