"""Snapshots: approved pairs, frozen as SA-Co documents under the hash of their content."""

import hashlib
import json
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Max

from annotator.common.active import concepts_active, pairs_active
from annotator.common.audit import audit_record
from annotator.common.errors import RoostError
from annotator.common.masks import rle_area, rle_box_xyxy
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Image, Job, Pair, Project, Snapshot
from toolbox.files import folder_written_whole

from .snapshots_page import snapshot_folder

CATEGORIES = [{"id": 1, "name": "object"}]


def snapshot_start(*, project: Project, user: AbstractBaseUser | None) -> Job:
    """Enqueue a snapshot; refused when nothing is approved yet."""
    _check_any(project)
    return job_enqueue(project=project, kind=Job.Kind.SNAPSHOT, created_by=user)


@job_kind(Job.Kind.SNAPSHOT)
def snapshot_run(context: JobContext) -> dict:
    """The job's body: its report names the snapshot, which may be an older one of the same content."""
    context.progress(0.1, "Writing down what is approved")
    snapshot = snapshot_create(project=context.job.project, user=context.job.created_by)
    return {"snapshot": snapshot.number, "content_hash": snapshot.content_hash, "counts": snapshot.counts}


def snapshot_create(*, project: Project, user: AbstractBaseUser | None) -> Snapshot:
    """Write the documents and their row. The same approved pairs again answer the same snapshot."""
    _check_any(project)
    documents = {f"{split}.json": _document(project, split) for split in Image.Split.values}
    files = {name: _canonical(document) for name, document in documents.items()}
    content_hash = _hash(files)
    counts = {name.removesuffix(".json"): _counts(document) for name, document in documents.items()}
    _write(content_hash, files, _manifest(project, content_hash, counts, files))
    return _row(project, content_hash, counts, user)


def snapshot_images(snapshot: Snapshot) -> list[str]:
    """The hashes of all its images, each once."""
    files = [snapshot_folder(snapshot) / f"{split}.json" for split in Image.Split.values]
    rows = (row for file in files for row in json.loads(file.read_text())["images"])
    return sorted({row["file_name"] for row in rows})


def _check_any(project: Project) -> None:
    if not pairs_active(project=project).exclude(truth=Pair.Truth.UNSEEN).exists():
        words = "Nothing is approved yet: label some images, have them reviewed, then take the snapshot."
        raise RoostError(words, code="nothing_approved")


def _document(project: Project, split: str) -> dict[str, list]:
    """One split in the order of image hash and category; a pair without annotations is an explicit negative."""
    settled = pairs_active(project=project).exclude(truth=Pair.Truth.UNSEEN).filter(image__split=split)
    ordered = settled.select_related("image", "concept").order_by("image__sha256", "concept__category_id")
    images: list[dict] = []
    annotations: list[dict] = []
    for pair in ordered.iterator(chunk_size=500):
        images.append(_image_row(pair))
        for instance in pair.instances:
            annotations.append(_annotation_row(len(annotations) + 1, pair, instance))
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


def _image_row(pair: Pair) -> dict[str, Any]:
    return {
        "id": pair.pk,
        "file_name": pair.image.sha256,
        "text_input": pair.concept.name,
        "width": pair.image.width,
        "height": pair.image.height,
        "queried_category": str(pair.concept.category_id),
        "is_instance_exhaustive": int(pair.is_exhaustive),
        "is_pixel_exhaustive": int(pair.is_exhaustive),
        "source": pair.image.source,
        "truth": pair.truth_source,
        "round": pair.round,
    }


def _annotation_row(number: int, pair: Pair, instance: dict) -> dict[str, Any]:
    """Box and area normalised, as the published format has them."""
    mask, width, height = instance["mask"], pair.image.width, pair.image.height
    x0, y0, x1, y1 = rle_box_xyxy(mask)
    return {
        "id": number,
        "image_id": pair.pk,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height],
        "area": rle_area(mask) / (width * height),
        "segmentation": {"size": mask["size"], "counts": mask["counts"]},
    }


def _counts(document: dict[str, list]) -> dict[str, int]:
    positives = len({row["image_id"] for row in document["annotations"]})
    pairs, instances = len(document["images"]), len(document["annotations"])
    return {"pairs": pairs, "positives": positives, "negatives": pairs - positives, "instances": instances}


def _canonical(content: Any) -> bytes:
    """The one way to write this content, so that equal content has an equal hash."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _hash(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {len(files[name])}\n".encode() + files[name])
    return digest.hexdigest()


def _manifest(project: Project, content_hash: str, counts: dict, files: dict[str, bytes]) -> dict[str, Any]:
    concepts = concepts_active(project=project).values("name", "category_id")
    return {
        "format": "sa-co",
        "content_hash": content_hash,
        "project": project.slug,
        "concepts": list(concepts),
        "counts": counts,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }


def _write(content_hash: str, files: dict[str, bytes], manifest: dict) -> None:
    """All files or none."""
    target = settings.SNAPSHOTS_DIR / content_hash
    if target.exists():
        return
    try:
        with folder_written_whole(target) as beside:
            for name, data in {**files, "manifest.json": _canonical(manifest)}.items():
                (beside / name).write_bytes(data)
    except OSError:
        # Somebody else wrote the same content meanwhile: that is as good. Anything else is an error.
        if not target.exists():
            raise


@transaction.atomic
def _row(project: Project, content_hash: str, counts: dict, user: AbstractBaseUser | None) -> Snapshot:
    # Numbers are given out one at a time a project.
    Project.objects.select_for_update().get(pk=project.pk)
    if existing := project.snapshots.filter(content_hash=content_hash).first():
        return existing
    highest = project.snapshots.aggregate(highest=Max("number"))["highest"] or 0
    snapshot = Snapshot.objects.create(
        project=project, number=highest + 1, content_hash=content_hash, counts=counts, created_by=user
    )
    audit_record(
        project=project, actor=user, action="snapshot.create", subject=snapshot.number, content_hash=content_hash
    )
    return snapshot
