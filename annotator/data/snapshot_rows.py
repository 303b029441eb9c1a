"""Which answers a snapshot holds, as rows of the database: written with it, or made later for one that is older."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from annotator.common.batches import batched
from annotator.common.errors import RoostError
from annotator.models import Pair, Review, Snapshot, SnapshotPair, Task

from .snapshot_folders import snapshot_folder
from .snapshot_reading import lines_of

log = logging.getLogger(__name__)
ROWS_A_WRITE = 2_000
LINES_A_LOOK = 500
AnswerRow = tuple[int, int | None, str, int]


def snapshot_index(*, snapshot: Snapshot, answers: Iterable[AnswerRow] | None = None) -> int:
    """Write a row for every pair that it holds; how many. Without `answers` they are what was approved when it was
    taken, by its files: RoostError where those are gone.

    Many small transactions, because a writer holds SQLite's only lock; what was cut short is completed by the next.
    """
    if snapshot.is_indexed:
        return 0
    written = 0
    for some in batched(_answers_then(snapshot) if answers is None else answers, ROWS_A_WRITE):
        rows = [
            SnapshotPair(snapshot=snapshot, pair_id=pair, answer_id=answer, split=split, instances=masks)
            for pair, answer, split, masks in some
        ]
        written += len(SnapshotPair.objects.bulk_create(rows, ignore_conflicts=True))
    Snapshot.objects.filter(pk=snapshot.pk).update(is_indexed=True)
    snapshot.is_indexed = True
    return written


def snapshots_index() -> dict[Snapshot, int]:
    """Those that are not indexed yet; one whose files are gone is left out, and logged."""
    done = {}
    for snapshot in Snapshot.objects.filter(is_indexed=False).select_related("project").order_by("pk"):
        try:
            done[snapshot] = snapshot_index(snapshot=snapshot)
        except RoostError as error:
            log.warning("snapshot %s of %s has no index: %s", snapshot.number, snapshot.project.slug, error)
    return done


def _answers_then(snapshot: Snapshot) -> Iterator[AnswerRow]:
    """What had been approved when it was taken. A pair that has gone since has no row."""
    for lines in batched(lines_of(snapshot_folder(snapshot)), LINES_A_LOOK):
        known = _known(snapshot, {line["file_name"] for line in lines})
        for line in lines:
            if line.get("pseudo"):
                continue
            row = known.get((line["file_name"], line["text_input"]))
            if row is not None:
                yield row["pk"], row["then"], line["split"], line["instances"]


def _known(snapshot: Snapshot, images: set[str]) -> dict[tuple[str, str], dict[str, Any]]:
    approved = Review.objects.filter(annotation__pair=OuterRef("pk"), created_at__lte=snapshot.created_at)
    approved = approved.exclude(decision=Review.Decision.SEND_BACK)
    approved = approved.exclude(annotation__task__lane=Task.Reason.KNOWN_ANSWER)
    # A second label that agreed left the truth, and whose it is, as they were.
    approved = approved.exclude(annotation__task__second_label__changed=False).order_by("-pk")
    answer = approved.annotate(answer=Coalesce(F("fixed_id"), F("annotation_id"))).values("answer")[:1]
    pairs = Pair.objects.filter(project=snapshot.project_id, image__sha256__in=images)
    rows = pairs.annotate(then=Subquery(answer)).values("pk", "then", "image__sha256", "concept__name")
    return {(row["image__sha256"], row["concept__name"]): row for row in rows}
