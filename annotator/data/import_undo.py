"""Undo an import: its pictures go, its verdicts are open again; what people did since stays and is named."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from annotator.common.audit import audit_record
from annotator.common.batches import batched
from annotator.common.errors import ConflictError, RoostError
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Annotation, Image, Job, Pair, Task

from .image_store import image_file_remove
from .snapshots import snapshot_images

ROWS_A_COMMIT = 200
NAMED = 20


def import_undo_start(*, job: Job, user: AbstractBaseUser) -> Job:
    """Queue the undoing of an import that has ended; refused while it runs, and where it was undone already."""
    if job.kind != Job.Kind.IMPORT or job.params.get("dry_run"):
        raise RoostError("Only an import can be undone.", code="no_import")
    if job.state in Job.IN_FLIGHT:
        raise ConflictError("The import still runs: cancel it first, then undo it.", code="import_runs")
    if not any(rows.exists() for rows in (_images(job), _pairs(job), _vouched(job))):
        raise ConflictError("Nothing of this import is here any more.", code="undone")
    return job_enqueue(project=job.project, kind=Job.Kind.UNDO_IMPORT, params={"import": job.pk}, created_by=user)


@job_kind(Job.Kind.UNDO_IMPORT)
def import_undo_run(context: JobContext) -> dict[str, Any]:
    """The job's work; safe to run again. Verdicts first, so that a picture without people's work can go whole."""
    undone = Job.objects.get(pk=context.job.params["import"], project=context.job.project)
    report: dict[str, Any] = {"import": undone.pk, "pairs_open_again": _verdicts_undo(context, undone)}
    report["pairs_not_vouched"] = _vouched(undone).update(is_exhaustive=False, vouched_by_import=None)
    report |= _images_undo(context, undone)
    report["concepts_removed"] = _concepts_undo(undone)
    Job.objects.filter(pk=undone.pk).update(report={**undone.report, "undone_by": context.job.pk})
    audit_record(
        project=undone.project,
        actor=context.job.created_by,
        action="import.undo",
        subject=f"job {undone.pk}",
        **{key: value for key, value in report.items() if key != "kept"},
    )
    return report


def import_undo_counts(*, job: Job) -> dict[str, int]:
    """What an undo would do now, for the page that asks; all 0 where nothing is left to undo."""
    kept = _images(job).filter(_worked_on(but_for=job)).count()
    return {"pairs": _pairs(job).count(), "images": _images(job).count() - kept, "images_kept": kept}


def _verdicts_undo(context: JobContext, undone: Job) -> int:
    done, ids = 0, list(_pairs(undone).values_list("pk", flat=True))
    for batch in batched(ids, ROWS_A_COMMIT):
        context.progress_of(done, len(ids), "pairs")
        with transaction.atomic():
            mine = Pair.objects.filter(pk__in=batch, settled_by_import=undone)
            # What the import queued and nobody has taken up goes with it.
            waiting = Task.objects.filter(pair__in=mine, state=Task.State.QUEUED, author=None)
            waiting.filter(reasons__0__kind="import").update(state=Task.State.WITHDRAWN)
            done += mine.filter(_of_import()).update(
                truth=Pair.Truth.UNSEEN,
                truth_source="",
                instances=[],
                is_exhaustive=True,
                settled_at=None,
                settled_by_import=None,
                settled_by=None,
                vouched_by_import=None,
            )
    return done


def _images_undo(context: JobContext, undone: Job) -> dict[str, Any]:
    ids = list(_images(undone).values_list("pk", flat=True))
    frozen = {sha256 for snapshot in undone.project.snapshots.all() for sha256 in snapshot_images(snapshot)}
    removed, kept = 0, list[str]()
    for batch in batched(ids, ROWS_A_COMMIT):
        context.progress_of(removed + len(kept), len(ids), "images")
        with transaction.atomic():
            rows = Image.objects.filter(pk__in=batch).annotate(worked_on=_worked_on())
            gone = [row for row in rows if not row.worked_on and row.sha256 not in frozen]
            kept += [row.original_name for row in rows if row.worked_on or row.sha256 in frozen]
            Pair.objects.filter(image__in=gone).delete()
            Image.objects.filter(pk__in=[row.pk for row in gone]).delete()
        removed += len(gone)
        for row in gone:
            image_file_remove(row.sha256, is_wanted=Image.objects.filter(sha256=row.sha256).exists)
    return {"images_removed": removed, "images_kept": len(kept), "kept": kept[:NAMED]}


def _concepts_undo(undone: Job) -> list[str]:
    """Concepts that the import made and that nothing else has come to stand on."""
    made = undone.project.concepts.filter(pk__in=undone.report.get("concepts_made", []))
    removed = []
    for concept in made:
        with transaction.atomic():
            settled = concept.pairs.exclude(truth=Pair.Truth.UNSEEN)
            if settled.exists() or Annotation.objects.filter(pair__concept=concept).exists():
                continue
            concept.pairs.all().delete()
            removed.append(concept.name)
            concept.delete()
    return removed


def _worked_on(*, but_for: Job | None = None) -> Exists:
    """Some pair of the picture was answered, is in somebody's hands, or was settled by something else."""
    pairs = Pair.objects.filter(image=OuterRef("pk"))
    if but_for:
        pairs = pairs.exclude(Q(settled_by_import=but_for) & _of_import())
    in_hand = Task.objects.filter(pair=OuterRef("pk")).exclude(state__in=(Task.State.QUEUED, Task.State.WITHDRAWN))
    answered = Annotation.objects.filter(pair=OuterRef("pk"))
    return Exists(pairs.filter(~Q(truth=Pair.Truth.UNSEEN) | Exists(in_hand) | Exists(answered)))


def _images(job: Job) -> QuerySet[Image]:
    return Image.objects.filter(added_by_import=job)


def _pairs(job: Job) -> QuerySet[Pair]:
    return Pair.objects.filter(settled_by_import=job).filter(_of_import())


def _vouched(job: Job) -> QuerySet[Pair]:
    """Outlines of an earlier import, of which this one said that they are all; a person's verdict names no import."""
    return Pair.objects.filter(vouched_by_import=job)


def _of_import() -> Q:
    """Not settled by a person since; an open pair with an import's sketch counts."""
    return Q(truth_source=Pair.TruthSource.IMPORTED) | Q(truth=Pair.Truth.UNSEEN)
