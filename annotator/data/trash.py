"""The trash: deleted images are out of sight for thirty days, come back whole, and are then removed for good.

An image that a snapshot names keeps its row and its file: what was trained on can be shown again.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import ProtectedError, QuerySet, RestrictedError
from django.db.models.functions import Now
from django.utils import timezone

from annotator.common.active import images_removed
from annotator.common.audit import audit_record
from annotator.jobs.kinds import HOUR_SECONDS, sweep_every
from annotator.models import BulkAction, Image, Project, Review, Snapshot, Task

from .gallery_acts import Asked, Outcome
from .image_restore import images_restore
from .image_store import image_file_remove
from .previews import SIDES_PX
from .snapshots import snapshot_images

log = logging.getLogger(__name__)

KEPT = timedelta(days=30)
PAGE = 48
AT_ONCE = 200


@transaction.atomic
def act_delete(asked: Asked, images: Sequence[int]) -> Outcome:
    """Into the trash, and their tasks out of the queue. What somebody holds, or has answered since, stays."""
    outcome = Outcome()
    tasks = Task.objects.filter(image__in=images)
    held = set(tasks.filter(state=Task.State.CLAIMED).values_list("image_id", flat=True))
    newer = set(tasks.filter(author__isnull=False, updated_at__gt=asked.seen_at).values_list("image_id", flat=True))
    newer |= set(
        asked.project.pairs.filter(image__in=images, settled_at__gt=asked.seen_at).values_list("image_id", flat=True)
    )
    rows = asked.project.images.filter(pk__in=images)
    going = [pk for pk in rows.values_list("pk", flat=True) if pk not in held | newer]
    outcome.skipped["in_work"] = len(held)
    outcome.skipped["newer"] = len(newer - held)
    for task_id, state in tasks.filter(image__in=going, state__in=Task.OPEN_STATES).values_list("pk", "state"):
        outcome.inverse[state].append(task_id)
    tasks.filter(image__in=going, state__in=Task.OPEN_STATES).update(state=Task.State.WITHDRAWN, updated_at=Now())
    outcome.done = Image.objects.filter(pk__in=going).update(removed_at=Now())
    outcome.inverse["images"] += going
    return outcome


def undo_delete(action: BulkAction, user: AbstractBaseUser) -> tuple[int, int]:
    """Back, and their tasks where they were; what is gone for good is counted as left."""
    ids = action.inverse.get("images", [])
    undone = sum(images_restore(project=action.project, images=ids[at : at + 500]) for at in range(0, len(ids), 500))
    for state in Task.OPEN_STATES:
        for task in Task.objects.filter(pk__in=action.inverse.get(state, []), state=Task.State.WITHDRAWN):
            _put_back(task, state)
    return undone, len(ids) - undone


def _put_back(task: Task, state: str) -> None:
    """Unless its pair has been asked about anew, or its image is still away."""
    asked = Task.objects.filter(pair=task.pair_id, blind=task.blind, state__in=Task.OPEN_STATES).exists()
    if not asked and Image.objects.filter(pk=task.image_id).exists():
        Task.objects.filter(pk=task.pk, state=Task.State.WITHDRAWN).update(state=state, updated_at=Now())


def trash_page(*, project: Project, before: int | None = None) -> tuple[list[Image], int | None]:
    """By id, newest first, each with `.gone_at`, when it may go for good; and the id to go on from."""
    rows = images_removed(project=project)
    rows = rows.filter(pk__lt=before) if before else rows
    found: list[Any] = list(rows.order_by("-id")[: PAGE + 1])
    for row in found:
        row.gone_at = row.removed_at + KEPT
    return found[:PAGE], found[PAGE - 1].pk if len(found) > PAGE else None


@transaction.atomic
def trash_restore(*, project: Project, user: AbstractBaseUser, images: Sequence[int]) -> int:
    count = images_restore(project=project, images=images)
    if count:
        audit_record(project=project, actor=user, action="images.restore", subject=project.name, images=count)
    return count


@sweep_every(HOUR_SECONDS)
def trash_empty() -> int:
    """Remove the rows and files of what has been in the trash for thirty days; how many."""
    due = _due()
    if not due.exists():
        return 0
    named, removed = _named_by_snapshots(), 0
    for image in due.order_by("pk").iterator(chunk_size=AT_ONCE):
        if image.sha256 not in named and _remove(image):
            removed += 1
    return removed


def _due() -> QuerySet[Image]:
    return Image.with_trash.filter(removed_at__lt=timezone.now() - KEPT)


def _remove(image: Image) -> bool:
    try:
        with transaction.atomic():
            # Reviews hold what they fixed; with them gone the rest goes with the image.
            Review.objects.filter(annotation__pair__image=image.pk).delete()
            image.delete()
            audit_record(project=image.project, actor=None, action="images.remove", subject=image.sha256)
    except (ProtectedError, RestrictedError):
        log.warning("Image %s stays in the trash: other rows need it.", image.sha256, exc_info=True)
        return False
    if image_file_remove(image.sha256, is_wanted=lambda: _is_wanted(image.sha256)):
        for side in SIDES_PX:
            path = settings.VAR_DIR / "previews" / str(side) / image.sha256[:2] / f"{image.sha256}.webp"
            path.unlink(missing_ok=True)
    return True


def _is_wanted(sha256: str) -> bool:
    projects = list(Project.objects.values_list("pk", flat=True))  # the index is by project first
    return Image.with_trash.filter(project__in=projects, sha256=sha256).exists()


def _named_by_snapshots() -> set[str]:
    return {sha256 for snapshot in Snapshot.objects.iterator() for sha256 in snapshot_images(snapshot)}
