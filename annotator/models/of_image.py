"""Rows of a pair that also carry the pair's image, so that a project's images are found by them in order.

A pair's image never changes, so it is written once, whoever makes the row.
"""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db import models


def image_filled_in(rows: Iterable[Any]) -> None:
    """Give rows without an image that of their pair; one query for those whose pair was not read."""
    bare = [row for row in rows if row.image_id is None]
    unread = {row.pair_id for row in bare if "pair" not in row._state.fields_cache}
    pairs = apps.get_model("annotator", "Pair").objects.filter(pk__in=unread)
    images: dict[int, int] = dict(pairs.values_list("pk", "image_id")) if unread else {}
    for row in bare:
        read = images.get(row.pair_id)
        row.image_id = row.pair.image_id if read is None else read


class OfImageQuerySet(models.QuerySet):
    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        rows = list(objs)
        for start in range(0, len(rows), 500):
            image_filled_in(rows[start : start + 500])
        return super().bulk_create(rows, *args, **kwargs)


OfImageManager = models.Manager.from_queryset(OfImageQuerySet)
