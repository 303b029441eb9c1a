"""Images come out of the trash: with their pairs, for concepts too that were added meanwhile."""

from collections.abc import Sequence

from django.db import transaction

from annotator.common.active import concepts_active
from annotator.models import Image, Pair, Project


@transaction.atomic
def images_restore(*, project: Project, images: Sequence[int]) -> int:
    """How many were in the trash and are back."""
    removed = Image.with_trash.filter(project=project, pk__in=images, removed_at__isnull=False)
    ids = list(removed.values_list("pk", flat=True))
    concepts = list(concepts_active(project=project).values_list("pk", flat=True))
    pairs = [Pair(project=project, image_id=pk, concept_id=concept) for pk in ids for concept in concepts]
    # Those that were there before are met by the constraint, and stay as they are.
    Pair.objects.bulk_create(pairs, ignore_conflicts=True, batch_size=500)
    return Image.with_trash.filter(pk__in=ids).update(removed_at=None)
