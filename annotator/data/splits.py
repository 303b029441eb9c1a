"""Which split an image falls into: decided by its content, so that every import of it agrees."""

from collections.abc import Sequence

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.models import Image, Project

VAL_SHARE_PCT = 15


def split_for(sha256: str) -> str:
    """`val` for about 15 % of all contents, else `train`; `test` and `holdout` are only ever asked for by name."""
    in_val = int(sha256[:8], 16) % 100 < VAL_SHARE_PCT
    return Image.Split.VAL if in_val else Image.Split.TRAIN


@transaction.atomic
def image_split_move(
    *, project: Project, images: Sequence[Image], split: str, user: AbstractBaseUser, force: bool = False
) -> list[Image]:
    """Put images into a split; those that were elsewhere before."""
    if split not in Image.Split.values:
        raise RoostError(f"There is no split {split!r}.", fields={"split": ["Unknown."]})
    moved = [image for image in images if image.split != split]
    Image.objects.filter(project=project, pk__in=[image.pk for image in moved]).update(split=split)
    audit_record(project=project, actor=user, action="split.move", subject=split, images=len(moved), forced=force)
    return moved
