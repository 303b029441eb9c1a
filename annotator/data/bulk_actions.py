"""One act on many images: at once for a few, as a job for many; kept with what takes it back."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models.functions import Now
from django.http import QueryDict

from annotator.common.access import has_role
from annotator.common.audit import audit_record
from annotator.common.batches import batched
from annotator.common.errors import ConflictError, RoostError
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import BulkAction, Image, Job, Project

from . import gallery_acts as acts
from .gallery_acts import ROLES, SKIPPED, Asked, Kind, Outcome
from .image_filter import ImageFilter, filter_parsed
from .image_walk import Walk, images_walked
from .trash import act_delete, undo_delete

# More than these go as a job, with progress.
AT_ONCE = 500
A_BATCH = 100
MOST_NAMED = 5000
WITHOUT_CONCEPT = (Kind.SPLIT, Kind.DELETE)

Act = Callable[[Asked, Sequence[int]], Outcome]
Undo = Callable[[BulkAction, AbstractBaseUser], tuple[int, int]]
ACTS: dict[str, tuple[Act, Undo]] = {
    Kind.ABSENT: (acts.act_absent, acts.undo_absent),
    Kind.QUEUE: (acts.act_queue, acts.undo_tasks),
    Kind.REOPEN: (acts.act_reopen, acts.undo_tasks),
    Kind.SPLIT: (acts.act_split, acts.undo_split),
    Kind.DELETE: (act_delete, undo_delete),
}


def bulk_act(
    *,
    project: Project,
    user: AbstractBaseUser,
    kind: str,
    seen_at: datetime,
    sha256s: Sequence[str] = (),
    wanted: ImageFilter | None = None,
    concept: int | None = None,
    split: str = "",
) -> BulkAction | Job:
    """Do it to the images named, or to all that `wanted` finds; a job where these are more than AT_ONCE."""
    # A form sends both fields along, whichever button is pressed.
    concept, split = (None if kind in WITHOUT_CONCEPT else concept), (split if kind == Kind.SPLIT else "")
    _check(project, user, kind, concept, split)
    asked = Asked(project, user, seen_at, concept, split)
    if wanted is None:
        ids = _named(project, sha256s)
        is_job = len(ids) > AT_ONCE
    else:
        wanted = replace(wanted, before=None)
        walked = Walk(project=project, wanted=wanted, user=user).found(at=None, most=AT_ONCE + 1, seconds=2.0)
        ids = walked.ids
        is_job = walked.at is not None
    if not ids and not is_job:
        raise RoostError("No image is selected.", code="nothing_selected")
    params = {"kind": kind, "concept": concept, "split": split, "seen_at": seen_at.isoformat()}
    if is_job:
        some = {"filter": wanted.address} if wanted is not None else {"images": ids}
        return job_enqueue(project=project, kind=Job.Kind.GALLERY, params=params | some, created_by=user)
    action = _begun(asked, kind, None)
    for batch in batched(ids, A_BATCH):
        _do(action, asked, batch)
    _told(action)
    return action


def _check(project: Project, user: AbstractBaseUser, kind: str, concept: int | None, split: str) -> None:
    if kind not in ROLES:
        raise RoostError(f"There is no such act; it is one of {', '.join(ROLES)}.", fields={"do": ["Unknown."]})
    if not has_role(user=user, project=project, role=ROLES[kind]):
        raise PermissionDenied(f"This needs the role {ROLES[kind]}.")
    if kind == Kind.ABSENT and concept is None:
        words = "Say which concept is not in these images: choose one."
        raise RoostError(words, code="no_concept", fields={"concept": ["Choose one."]})
    if concept is not None and not project.concepts.filter(pk=concept, retired_at=None).exists():
        raise RoostError("This project looks for no such concept.", fields={"concept": ["Unknown."]})
    if kind == Kind.SPLIT and split not in Image.Split.values:
        raise RoostError("Choose the split to move them to.", fields={"split": ["Unknown."]})


def _named(project: Project, sha256s: Sequence[str]) -> list[int]:
    if len(sha256s) > MOST_NAMED:
        raise RoostError(f"Name at most {MOST_NAMED:,} images; for more, use the filter.", code="too_many")
    return list(project.images.filter(sha256__in=sha256s).order_by("-id").values_list("pk", flat=True))


@job_kind(Job.Kind.GALLERY)
def bulk_run(context: JobContext) -> dict[str, Any]:
    """The job's body; begun again after a crash it finds done what is done, and goes on."""
    job = context.job
    if job.created_by is None:
        raise RoostError("Nobody asked for this change.")
    if undone := job.params.get("undo"):
        action = BulkAction.objects.select_related("project").get(pk=undone)
        return dict(zip(("undone", "left"), _undo(action, job.created_by), strict=True))
    params = job.params
    seen_at = datetime.fromisoformat(params["seen_at"])
    asked = Asked(job.project, job.created_by, seen_at, params["concept"], params["split"])
    _check(job.project, job.created_by, params["kind"], params["concept"], params["split"])
    action = BulkAction.objects.filter(job=job).first() or _begun(asked, params["kind"], job)
    for batch, share in _batches(asked, params):
        _do(action, asked, batch)
        context.progress(share, f"{action.done:,} changed")
    _told(action)
    return {"action": action.pk, "done": action.done, "skipped": skipped_told(action)}


def _batches(asked: Asked, params: dict) -> Iterable[tuple[Sequence[int], float]]:
    """Images and how far one is with them. Walking goes down by id, so the id tells how much is left."""
    if "images" in params:
        ids = params["images"]
        yield from ((ids[at : at + A_BATCH], (at + A_BATCH) / len(ids)) for at in range(0, len(ids), A_BATCH))
        return
    wanted = filter_parsed(QueryDict(params["filter"]))
    newest = asked.project.images.order_by("-id").values_list("pk", flat=True).first() or 1
    for ids in images_walked(project=asked.project, wanted=wanted, user=asked.user, at_once=A_BATCH):
        yield ids, 1 - ids[-1] / newest


def _begun(asked: Asked, kind: str, job: Job | None) -> BulkAction:
    params = {"concept": asked.concept, "split": asked.split} | (
        {"filter": job.params.get("filter", "")} if job else {}
    )
    return BulkAction.objects.create(project=asked.project, user=asked.user, kind=kind, job=job, params=params)


def _do(action: BulkAction, asked: Asked, images: Sequence[int]) -> None:
    """One batch and its way back, both or neither."""
    with transaction.atomic():
        outcome = ACTS[action.kind][0](asked, images)
        action.done += outcome.done
        action.skipped = dict(Counter(action.skipped) + outcome.skipped)
        for name, ids in outcome.inverse.items():
            action.inverse[name] = action.inverse.get(name, []) + ids
        action.save(update_fields=["done", "skipped", "inverse"])


def _told(action: BulkAction) -> None:
    details = {"changed": action.done, "skipped": sum(action.skipped.values()), "change": action.pk}
    audit_record(
        project=action.project, actor=action.user, action=f"images.{action.kind}", subject=words_of(action), **details
    )


def words_of(action: BulkAction) -> str:
    """«Mark absent: chicken», «Move to a split: val»."""
    concept = action.project.concepts.filter(pk=action.params.get("concept")).first()
    what = concept.name if concept else action.params.get("split", "")
    return f"{action.get_kind_display()}: {what}" if what else action.get_kind_display()


def skipped_told(action: BulkAction) -> list[dict[str, Any]]:
    return [{"why": SKIPPED[why], "count": count} for why, count in action.skipped.items() if count]


def bulk_undo(*, action: BulkAction, user: AbstractBaseUser) -> tuple[int, int] | Job:
    """(taken back, left as later work made it); a job where it was much. By whoever did it, and admins."""
    if action.user_id != user.pk and not has_role(user=user, project=action.project, role=acts.ADMIN):
        raise PermissionDenied("Only who did it and admins take it back.")
    if not has_role(user=user, project=action.project, role=ROLES[action.kind]):
        raise PermissionDenied(f"This needs the role {ROLES[action.kind]}.")
    if action.undone_at:
        raise ConflictError("This was taken back already.", code="already_undone")
    if action.job is not None and action.job.state in Job.IN_FLIGHT:
        raise ConflictError("It is still being done: cancel the job first.", code="in_flight")
    if action.done > AT_ONCE:
        params = {"undo": action.pk}
        return job_enqueue(project=action.project, kind=Job.Kind.GALLERY, params=params, created_by=user)
    return _undo(action, user)


@transaction.atomic
def _undo(action: BulkAction, user: AbstractBaseUser) -> tuple[int, int]:
    fresh = BulkAction.objects.filter(pk=action.pk, undone_at=None)
    if not fresh.update(undone_at=Now(), undone_by=user):
        raise ConflictError("This was taken back already.", code="already_undone")
    undone, left = ACTS[action.kind][1](action, user)
    details = {"change": action.pk, "undone": undone, "left": left}
    audit_record(project=action.project, actor=user, action="images.undo", subject=words_of(action), **details)
    return undone, left
