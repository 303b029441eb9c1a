"""Publishing a snapshot: its images and documents into the project's data repository, tagged, and on to the remote."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Job, Project, Snapshot

from .data_repository import DataRepository, Remote, remote_of
from .dvc import dvc_required
from .image_files import images_fetch
from .snapshot_folders import snapshot_folder, snapshot_numbered
from .snapshots import snapshot_images

# How far along the steps are: images laid out, given to DVC, pushed.
LAID_OUT, GIVEN = 0.3, 0.7


def publish_start(*, project: Project, user: AbstractBaseUser | None, number: int) -> Job:
    """Enqueue it; refused without DVC, or when the snapshot's files are gone."""
    snapshot = snapshot_numbered(project=project, number=number)
    dvc_required()
    remote_of(project.slug)
    if not snapshot_folder(snapshot).is_dir():
        raise RoostError(f"The files of snapshot {number} are gone; bring them back from a backup.")
    return job_enqueue(project=project, kind=Job.Kind.PUBLISH, params={"snapshot": number}, created_by=user)


@job_kind(Job.Kind.PUBLISH)
def publish_run(context: JobContext) -> dict[str, Any]:
    """The job's body; run again after a crash it goes on: what has a tag is not committed twice."""
    project = context.job.project
    snapshot = snapshot_numbered(project=project, number=context.job.params["snapshot"])
    repository, remote = DataRepository(project), remote_of(project.slug)
    tag = tag_of(snapshot)
    repository.prepare(remote)
    commit = repository.commit_of(tag) or _tagged_again(repository, snapshot) or _committed(context, snapshot)
    if remote:
        context.progress(GIVEN, f"Pushing to {remote.place}")
        repository.push(remote, context.should_stop)
    _note(snapshot, commit, context.job)
    return {"snapshot": snapshot.number, "tag": tag, "revision": commit, "remote": remote.place if remote else ""}


def tag_of(snapshot: Snapshot) -> str:
    """What it is called in the data repository."""
    return snapshot.tag or f"snapshot-{snapshot.number}"


def _tagged_again(repository: DataRepository, snapshot: Snapshot) -> str:
    """A snapshot that was published before it got its tag has its commit already."""
    commit = repository.commit_of(f"snapshot-{snapshot.number}")
    if commit:
        repository.tag(tag=snapshot.tag, commit=commit)
    return commit


def _committed(context: JobContext, snapshot: Snapshot) -> str:
    images = snapshot_images(snapshot)
    _fetched(context, images)

    def show(done: int) -> None:
        context.progress(LAID_OUT * done / len(images), f"{done:,} of {len(images):,} images laid out")

    repository = DataRepository(snapshot.project)
    repository.lay_out(documents=snapshot_folder(snapshot), images=images, show=show)
    context.progress(LAID_OUT, f"DVC reads {len(images):,} images")
    return repository.commit(
        message=_message(snapshot),
        at=snapshot.created_at,
        tag=tag_of(snapshot),
        should_stop=context.should_stop,
    )


def _fetched(context: JobContext, images: list[str]) -> None:
    """What only the bucket holds comes here first; that an image is gone is told before anything is committed."""

    def show(done: int, of: int) -> None:
        context.progress(0.0, f"{done:,} of {of:,} images fetched")

    images_fetch(sha256s=images, on_progress=show)


def _message(snapshot: Snapshot) -> str:
    title = f"Snapshot {snapshot.number}" + (f": {snapshot.name}" if snapshot.name else "")
    return "\n\n".join(part for part in (title, snapshot.notes, f"Content: {snapshot.content_hash}") if part)


@transaction.atomic
def _note(snapshot: Snapshot, commit: str, job: Job) -> None:
    Snapshot.objects.filter(pk=snapshot.pk).update(data_revision=commit)
    audit_record(
        project=snapshot.project,
        actor=job.created_by,
        action="snapshot.publish",
        subject=snapshot.number,
        tag=tag_of(snapshot),
        revision=commit,
    )


def published_to(snapshot: Snapshot) -> Remote | None:
    return remote_of(snapshot.project.slug) if snapshot.data_revision else None
