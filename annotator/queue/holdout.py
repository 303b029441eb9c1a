"""Labels for the holdout: pairs drawn at random, never by what a model thinks of them, and without its proposals."""

import hashlib

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Exists, OuterRef

from annotator.common.active import pairs_active
from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.common.rounds import round_current
from annotator.models import Image, Pair, Project, Task

MOST = 1000
WORDS = "Drawn by chance for the holdout, which judges every new model; so you see no proposals here."


@transaction.atomic
def holdout_queue(*, project: Project, user: AbstractBaseUser, count: int) -> list[Task]:
    """Queue `count` holdout pairs that nobody has looked at; the draw depends on the images alone."""
    if not 1 <= count <= MOST:
        raise RoostError(f"Queue between 1 and {MOST} holdout pairs at a time.", fields={"count": ["Out of range."]})
    open_task = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES)
    holdout = pairs_active(project=project).filter(image__split=Image.Split.HOLDOUT)
    unseen = holdout.filter(~Exists(open_task), truth=Pair.Truth.UNSEEN)
    rows = sorted(unseen.values_list("pk", "image__sha256", "concept__name"), key=lambda row: _draw(row[1], row[2]))
    if not rows:
        words = "The holdout has no pair left to label; import images with the split «holdout» first."
        raise RoostError(words, code="empty_holdout")
    number = round_current(project=project)
    reasons = [{"kind": "holdout", "value": 0.0, "words": WORDS}]
    tasks = [
        Task(project=project, pair_id=pair_id, lane=Task.Reason.MANUAL, reasons=reasons, priority=1.0, round=number)
        for pair_id, _, _ in rows[:count]
    ]
    audit_record(project=project, actor=user, action="holdout.queue", subject=project.name, pairs=len(tasks))
    return Task.objects.bulk_create(tasks)


def _draw(sha256: str, concept: str) -> bytes:
    return hashlib.sha256(f"holdout order {sha256} {concept}".encode()).digest()
