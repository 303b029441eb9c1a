"""Unsubmitted work: one draft a person and task, guarded by a version so that a second tab overwrites nothing."""

import json

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models.functions import Now

from annotator.common.errors import ConflictError, RoostError
from annotator.models import Draft, Task

MAX_DRAFT_BYTES = 5_000_000


@transaction.atomic
def draft_save(*, task: Task, user: AbstractBaseUser, version: int, payload: dict) -> Draft:
    """Store the payload over version `version` (0: there is none yet); 409 with what is stored when that is another."""
    if len(json.dumps(payload)) > MAX_DRAFT_BYTES:
        raise RoostError("This draft is larger than 5 MB; submit what you have.", code="draft_too_large")
    draft = Draft.objects.select_for_update().filter(task=task, user=user).first()
    if (draft.version if draft else 0) != version:
        raise _conflict(draft)
    if draft is None:
        return Draft.objects.create(task=task, user=user, payload=payload)
    Draft.objects.filter(pk=draft.pk).update(payload=payload, version=version + 1, updated_at=Now())
    draft.payload, draft.version = payload, version + 1
    return draft


def draft_delete(*, task: Task, user: AbstractBaseUser) -> None:
    Draft.objects.filter(task=task, user=user).delete()


@transaction.atomic
def draft_keep_submission(*, task: Task, user: AbstractBaseUser, submission: dict) -> None:
    """Keep a submission that came too late, beside what the desk had saved."""
    draft, _ = Draft.objects.select_for_update().get_or_create(task=task, user=user, defaults={"version": 0})
    draft.payload = draft.payload | {"submission": submission}
    draft.version += 1
    draft.save(update_fields=["payload", "version", "updated_at"])


def _conflict(draft: Draft | None) -> ConflictError:
    stored = {"version": draft.version, "payload": draft.payload} if draft else {"version": 0, "payload": None}
    message = "Another tab has saved this draft meanwhile; take its state or save over it on purpose."
    return ConflictError(message, code="draft_conflict", fields=stored)
