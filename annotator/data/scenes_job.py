"""Scenes of images that came before there were scenes, as a job: the looks that are missing, then all compared anew."""

from collections.abc import Iterator
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from annotator.common.audit import audit_record
from annotator.common.batches import batched
from annotator.common.errors import ImportRefusedError
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Image, Job, Project

from .image_files import image_file
from .image_store import image_look
from .scenes import Row, scenes_among
from .split_moves import scenes_crossing

ROWS_A_COMMIT = 200
FAILURES_LISTED = 100


def scenes_start(*, project: Project, user: AbstractBaseUser | None) -> Job:
    """Enqueue the look for scenes; nothing is moved by it."""
    return job_enqueue(project=project, kind=Job.Kind.SCENES, created_by=user)


@job_kind(Job.Kind.SCENES)
def scenes_run(context: JobContext) -> dict[str, Any]:
    """Run again after a crash it goes on with the looks that are still missing."""
    project = context.job.project
    failed = _looks_fill(context, project)
    context.progress(0.95, "Comparing all images")
    changed = scenes_find(project=project)
    images = project.images.count()
    scenes = project.images.exclude(scene="").order_by().values("scene").distinct().count()
    return {
        "images": images,
        "scenes": scenes,
        "changed": changed,
        "crossing": scenes_crossing(project=project).count(),
        "failed": failed[:FAILURES_LISTED],
        "failed_count": len(failed),
    }


def _looks_fill(context: JobContext, project: Project) -> list[dict[str, str]]:
    todo = project.images.filter(look="").order_by("pk").values_list("pk", "sha256", "original_name")
    rows, failed, done = list(todo), [], 0
    for some in batched(rows, ROWS_A_COMMIT):
        found = []
        for pk, sha256, name in some:
            context.progress_of(done, len(rows) + 1, "images looked at")
            done += 1
            try:
                found.append(Image(pk=pk, look=image_look(image_file(sha256))))
            except (ImportRefusedError, OSError) as error:
                failed.append({"image": name, "reason": str(error)})
        Image.objects.bulk_update(found, ["look"])
    return failed


@transaction.atomic
def scenes_find(*, project: Project) -> int:
    """Compare all images and write their scenes; how many rows changed. A scene keeps the name that it has."""
    Project.objects.select_for_update().only("pk").get(pk=project.pk)
    known = project.images.order_by("pk").values_list("sha256", "look", "captured_at", "source", "scene", "pk")
    rows, scenes, pks = [], {}, {}
    for sha256, look, captured_at, source, scene, pk in known.iterator():
        rows.append(Row(sha256, look, captured_at, source))
        scenes[sha256], pks[sha256] = scene, pk
    changed = [
        Image(pk=pks[row.key], scene=name)
        for group in scenes_among(rows)
        for name in [_name(group, scenes)]
        for row in group
        if scenes[row.key] != name
    ]
    for some in batched(changed, ROWS_A_COMMIT):
        Image.objects.bulk_update(some, ["scene"])
    if changed:
        audit_record(project=project, actor=None, action="scenes.find", subject=f"{len(changed)} images")
    return len(changed)


def _name(group: list[Row], scenes: dict[str, str]) -> str:
    """The oldest name that one of them bears and that is one of theirs: names of two scenes never meet."""
    keys = {row.key for row in group}
    named = _own_names(group, scenes, keys)
    return next(named, group[0].key)


def _own_names(group: list[Row], scenes: dict[str, str], keys: set[str]) -> Iterator[str]:
    return (scenes[row.key] for row in group if scenes[row.key] in keys)
