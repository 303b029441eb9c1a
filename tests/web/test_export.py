"""Exports by the job's own body; what comes out is imported again into a second project."""

import hashlib
import json
import zipfile

import pytest

from annotator.common.errors import RoostError
from annotator.common.masks import rle_iou
from annotator.data.exports import FORMATS, export_file, export_start
from annotator.data.imports import import_start
from annotator.jobs.runner import job_run
from annotator.models import Image, Job, Pair
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def filled(barn):
    """Two splits, masks of two concepts, verified negatives, and one pair that nobody looked at."""
    duck = factories.make_concept(barn.project, "duck")
    train = factories.make_image(barn.project, original_name="same.png")
    holdout = factories.make_image(barn.project, split="holdout", original_name="same.png")
    instances = [
        factories.make_instance(factories.box_rle(1, 2, 8, 9)),
        factories.make_instance(factories.box_rle(9, 9, 15, 16)),
    ]
    factories.make_pair(barn.project, barn.chicken, train, truth="present", instances=instances)
    factories.make_pair(barn.project, duck, train, truth="absent")
    factories.make_pair(barn.project, barn.chicken, holdout, truth="absent")
    factories.make_pair(barn.project, duck, holdout)
    factories.make_pair(barn.project, barn.chicken)
    return barn


def _export(barn, **options) -> Job:
    job = export_start(project=barn.project, user=barn.admin, **options)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    return job


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_has_a_whole_zip_and_a_manifest_that_adds_up(filled, format):
    job = _export(filled, format=format)
    with zipfile.ZipFile(export_file(job=job)) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        sums = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in manifest["annotation_files_sha256"]}
        images = [name for name in archive.namelist() if name.endswith(".png")]
    assert sums == manifest["annotation_files_sha256"]
    assert manifest["counts"] == {
        "train": {"images": 1, "instances": 2, "verified_negatives": 1},
        "holdout": {"images": 1, "instances": 0, "verified_negatives": 1},
    }
    assert len(images) == len(set(images)) == 2


def test_coco_export_imports_again_to_the_pixel(filled):
    path = export_file(job=_export(filled, format="coco"))
    other = factories.make_project(filled.admin)
    factories.make_concept(other, "chicken"), factories.make_concept(other, "duck")
    job = import_start(project=other, user=filled.admin, upload_path=path, kind="coco")
    job_run(job_id=job.pk)
    rows = other.pairs.values_list("image__sha256", "image__split", "concept__name", "truth").order_by("pk")
    before = filled.project.pairs.exclude(image__pairs__isnull=True).filter(image__original_name="same.png")
    assert sorted(rows) == sorted(before.values_list("image__sha256", "image__split", "concept__name", "truth"))
    [pair] = Pair.objects.filter(project=other, truth="present")
    original = Pair.objects.get(project=filled.project, truth="present")
    ious = [rle_iou(a["mask"], b["mask"]) for a, b in zip(pair.instances, original.instances, strict=True)]
    assert ious == [1.0, 1.0]


def test_images_of_an_export_are_the_originals(filled):
    job = _export(filled, format="saco")
    with zipfile.ZipFile(export_file(job=job)) as archive:
        hashes = {hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist() if "images/" in name}
    assert hashes == set(Image.objects.filter(original_name="same.png").values_list("sha256", flat=True))


def test_only_the_splits_asked_for_are_exported(filled):
    job = _export(filled, splits=["holdout"], with_images=False)
    assert list(job.report["counts"]) == ["holdout"]
    with zipfile.ZipFile(export_file(job=job)) as archive:
        assert sorted(archive.namelist()) == ["holdout/_annotations.coco.json", "manifest.json"]


@pytest.mark.parametrize("options", [{"format": "voc"}, {"splits": ["trian"]}])
def test_wrong_wish_is_refused_and_queues_nothing(filled, options):
    with pytest.raises(RoostError, match=r"voc|trian"):
        export_start(project=filled.project, user=filled.admin, **options)
    assert not Job.objects.exists()


def test_nothing_settled_is_refused_in_words(barn):
    factories.make_pair(barn.project)
    with pytest.raises(RoostError, match="nothing to export"):
        export_start(project=barn.project, user=barn.admin)


def test_job_without_a_file_says_so(filled):
    job = export_start(project=filled.project, user=filled.admin)
    with pytest.raises(RoostError, match="export again"):
        export_file(job=job)
