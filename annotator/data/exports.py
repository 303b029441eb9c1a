"""Exports as jobs: settled pairs, verified negatives included, as a zip in one of the formats, with a manifest."""

import hashlib
import json
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.utils import timezone

from annotator.common.active import concepts_active, images_removed
from annotator.common.errors import RoostError
from annotator.jobs.downloads import download_written
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Concept, Image, Job, Pair, Project

from .export_layouts import LAYOUTS
from .formats.records import Category, ImageRecord, Instance, unique_names
from .image_files import image_file

FORMATS = tuple(LAYOUTS)
IMAGES_A_READ = 200


def export_start(
    *,
    project: Project,
    user: AbstractBaseUser | None,
    format: str = "coco",
    splits: Sequence[str] = (),
    with_images: bool = True,
    with_retired: bool = False,
) -> Job:
    """Queue an export of the splits named, or all; refused when nothing is settled yet.

    `with_retired`: concepts that are asked for no more, too; never one that became another, whose truth is there.
    """
    if format not in LAYOUTS:
        words = f"An export is one of {', '.join(LAYOUTS)}, not {format!r}."
        raise RoostError(words, fields={"format": ["Unknown."]})
    if unknown := sorted(set(splits) - set(Image.Split.values)):
        raise RoostError(f"There is no split {unknown[0]!r}.", fields={"splits": ["Unknown."]})
    if not _settled(project, splits, with_retired).exists():
        raise RoostError("Nothing is approved or imported here yet, so there is nothing to export.")
    params = {"format": format, "splits": list(splits), "with_images": with_images, "with_retired": with_retired}
    return job_enqueue(project=project, kind=Job.Kind.EXPORT, params=params, created_by=user)


def export_file(*, job: Job) -> Path:
    """Where a finished export lies; RoostError when there is none (any more)."""
    name = job.report.get("file") if job.kind == Job.Kind.EXPORT else None
    path = settings.EXPORTS_DIR / str(name)
    if not name or not path.is_file():
        raise RoostError("This job has no file to download; export again.", code="no_export", http_status=404)
    return path


@job_kind(Job.Kind.EXPORT)
def export_run(context: JobContext) -> dict[str, Any]:
    """The job's work; a second run replaces the first one's file."""
    project, params = context.job.project, context.job.params
    name = f"{project.slug}-{context.job.pk}-{params['format']}.zip"
    with download_written(name=name) as archive:
        manifest = _write(context, archive)
    size = (settings.EXPORTS_DIR / name).stat().st_size
    return {"file": name, "bytes": size, "counts": manifest["counts"], "notes": manifest["notes"]}


@dataclass(frozen=True)
class _Exported:
    record: ImageRecord
    sha256: str


def _write(context: JobContext, archive: zipfile.ZipFile) -> dict[str, Any]:
    project, params = context.job.project, context.job.params
    layout = LAYOUTS[params["format"]]
    concepts = list(_concepts(project, params.get("with_retired", False)))
    categories = [Category(row.category_id, row.name) for row in concepts]
    exported = list(_exported(context, project, params))
    names = unique_names([one.record for one in exported])
    splits = sorted({str(one.record.split) for one in exported})
    files: dict[str, str] = {}
    for path, text in layout.annotation_files([one.record for one in exported], names, categories, splits):
        archive.writestr(path, text, zipfile.ZIP_DEFLATED)
        files[path] = hashlib.sha256(text.encode()).hexdigest()
    if params["with_images"]:
        for number, (one, name) in enumerate(zip(exported, names, strict=True)):
            context.progress_of(len(exported) + number, 2 * len(exported), "images read and packed")
            archive.write(image_file(one.sha256), layout.image_path(one.record, name), zipfile.ZIP_STORED)
    manifest = _manifest(project, params, exported, files, layout.notes)
    archive.writestr("manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False), zipfile.ZIP_DEFLATED)
    return manifest


def _concepts(project: Project, with_retired: bool) -> QuerySet[Concept]:
    return project.concepts.filter(merged_into=None) if with_retired else concepts_active(project=project)


def _settled(project: Project, splits: Sequence[str], with_retired: bool) -> QuerySet[Pair]:
    pairs = project.pairs.filter(concept__in=_concepts(project, with_retired)).exclude(truth=Pair.Truth.UNSEEN)
    pairs = pairs.exclude(image__in=images_removed(project=project).values("pk"))
    return pairs.filter(image__split__in=splits) if splits else pairs


def _exported(context: JobContext, project: Project, params: dict[str, Any]) -> Iterator[_Exported]:
    """Every image with a settled pair, in the order of its hash."""
    with_retired = params.get("with_retired", False)
    wanted = set(_concepts(project, with_retired).values_list("pk", flat=True))
    settled = _settled(project, params["splits"], with_retired)
    ids = list(settled.order_by("image__sha256").values_list("image_id", flat=True).distinct())
    for start in range(0, len(ids), IMAGES_A_READ):
        context.progress_of(start, 2 * len(ids), "images read and packed")
        batch = Image.objects.filter(pk__in=ids[start : start + IMAGES_A_READ]).order_by("sha256")
        for image in batch.prefetch_related("pairs__concept"):
            yield _Exported(_record(image, wanted), image.sha256)


def _record(image: Image, concepts: Collection[int]) -> ImageRecord:
    record = ImageRecord(image.sha256, image.width, image.height, image.split, image.original_name)
    pairs = [pair for pair in image.pairs.all() if pair.concept_id in concepts]
    for pair in sorted(pairs, key=lambda pair: pair.concept.category_id):
        if pair.truth == Pair.Truth.PRESENT:
            record.instances += [Instance(pair.concept.name, instance["mask"]) for instance in pair.instances]
        elif pair.truth == Pair.Truth.ABSENT:
            record.absent.append(pair.concept.name)
    return record


def _manifest(
    project: Project, params: dict, exported: Sequence[_Exported], files: dict[str, str], notes: str
) -> dict[str, Any]:
    counts: dict[str, dict[str, int]] = {}
    for one in exported:
        row = counts.setdefault(str(one.record.split), {"images": 0, "instances": 0, "verified_negatives": 0})
        row["images"] += 1
        row["instances"] += len(one.record.instances)
        row["verified_negatives"] += len(one.record.absent)
    return {
        "made_by": "Roost",
        "project": project.slug,
        "format": params["format"],
        "made_at": timezone.now().isoformat(timespec="seconds"),
        "counts": counts,
        "annotation_files_sha256": files,
        "images_sha256": [one.sha256 for one in exported],
        "notes": notes,
    }
