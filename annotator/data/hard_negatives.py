"""Verified negatives on which a model fired, kept from training to judge by: the gate's hard-negative set.

A plain random holdout holds few of them. These are chosen because a model fired, so they make the holdout harder; for
both models alike, since both answer the same pairs.
"""

import hashlib
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from annotator.common.active import pairs_active
from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.models import Image, Pair, Prediction, Project
from annotator.queue.candidates import PRESENCE_SCORE

from .split_moves import Moved, image_split_move, scene_mates, uses_of

MOST = 1000


@dataclass(frozen=True)
class HardNegatives:
    """Verified negatives on which a model fired: in the holdout, and those whose scenes may still go there."""

    held: int
    free: int


def hard_negatives_state(*, project: Project) -> HardNegatives:
    held = _fired_absent(project).filter(image__split=Image.Split.HOLDOUT).count()
    return HardNegatives(held, len(_free_images(project)))


def hard_negatives_hold(*, project: Project, user: AbstractBaseUser | None, count: int) -> Moved:
    """Move so many images into the holdout, whole scenes each, drawn by hash among the verified negatives that fired.

    Left out: scenes with the thing on any image, and what training or an evaluation has read already.
    """
    if not 1 <= count <= MOST:
        raise RoostError(f"Move between 1 and {MOST} images at a time.", fields={"count": ["Out of range."]})
    free = sorted(_free_images(project), key=lambda row: hashlib.sha256(f"hard {row[1]}".encode()).digest())
    if not free:
        words = (
            "There is no verified negative left on which a model fired and which nothing has learnt from. "
            "Have more of the queue answered with «not in this image», or import verified negatives and mine."
        )
        raise RoostError(words, code="no_hard_negatives")
    with transaction.atomic():
        images = project.images.filter(pk__in=[pk for pk, _ in free[:count]])
        moved = image_split_move(project=project, images=images, split=Image.Split.HOLDOUT, user=user)
        audit_record(project=project, actor=user, action="holdout.hard", subject=project.name, images=moved.images)
    return moved


def _fired_absent(project: Project) -> QuerySet[Pair]:
    # Where an instance scores 0.5 presence is at least that, calibrated or not; and presence has an index.
    fired = Prediction.objects.filter(pair=OuterRef("pk"), presence__gte=PRESENCE_SCORE)
    fired = fired.filter(instances__0__score__gte=PRESENCE_SCORE)
    return pairs_active(project=project).filter(Q(hard_negative=True) | Exists(fired), truth=Pair.Truth.ABSENT)


def _free_images(project: Project) -> list[tuple[int, str]]:
    """(id, hash) of images that may go: negatives only, they and their scenes, and read by nothing yet."""
    images = project.images.exclude(split=Image.Split.HOLDOUT).filter(pk__in=_fired_absent(project).values("image"))
    present = project.pairs.filter(truth=Pair.Truth.PRESENT)
    spoilt = project.images.filter(pk__in=present.values("image"))
    images = images.exclude(pk__in=spoilt.values("pk")).exclude(scene__in=spoilt.exclude(scene="").values("scene"))
    rows = list(images.values_list("pk", "sha256", "scene"))
    mates = scene_mates(project=project, images=images).values_list("sha256", "scene")
    used = uses_of(project=project, sha256s=(sha256 for sha256, _ in mates))
    used_scenes = {scene for sha256, scene in mates if sha256 in used and scene}
    return [(pk, sha256) for pk, sha256, scene in rows if sha256 not in used and scene not in used_scenes]
