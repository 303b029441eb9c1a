"""Imports by the job's own body, on a real database, from real files."""

import json
import os
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from annotator.common.errors import RoostError
from annotator.data.imports import import_run, import_start
from annotator.jobs import context as job_context
from annotator.jobs.context import JobContext
from annotator.jobs.runner import job_run, job_take
from annotator.jobs.services import job_cancel, jobs_sweep
from annotator.models import Image, Job, Pair
from tests import factories
from tests.processes import ROOT

pytestmark = pytest.mark.django_db(transaction=True)
FUSES = ROOT.parent / "shared" / "data" / "fuse_neutrals"


def _import(barn, path: Path, **options) -> Job:
    job = import_start(project=barn.project, user=barn.admin, upload_path=path, **options)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    return job


def _coco_folder(folder: Path, annotations: list[dict], images: int = 2, **fields) -> Path:
    folder.mkdir(parents=True)
    rows = []
    for number in range(1, images + 1):
        (folder / f"{number}.png").write_bytes(factories.image_bytes())
        rows.append({"id": number, "file_name": f"{number}.png", "width": 16, "height": 16})
    categories = [{"id": 0, "name": "Chicken"}, {"id": 1, "name": "goose"}]
    document = {"images": rows, "annotations": annotations, "categories": categories, **fields}
    (folder / "_annotations.coco.json").write_text(json.dumps(document))
    return folder


def _annotation(image: int, category: int = 0, **fields) -> dict:
    return {"image_id": image, "category_id": category, "segmentation": [[2, 2, 6, 2, 6, 6, 2, 6]], **fields}


def _truths(**filters) -> list[str]:
    return sorted(Pair.objects.filter(**filters).values_list("truth", flat=True))


def test_folder_of_images_is_imported_and_the_bad_ones_reported(barn, tmp_path):
    (tmp_path / "good.png").write_bytes(factories.image_bytes())
    (tmp_path / "cut.png").write_bytes(factories.image_bytes()[:300])
    (tmp_path / "fake.jpg").write_bytes(b"<html>")
    (tmp_path / "notes.txt").write_text("hello")
    job = _import(barn, tmp_path)
    assert job.state == "succeeded"
    assert (job.report["images_added"], job.report["images_refused"]) == (1, 2)
    assert {problem["file"] for problem in job.report["problems"]} == {"cut.png", "fake.jpg", "notes.txt"}
    assert _truths() == ["unseen"]


def test_uploaded_zip_is_imported_and_then_deleted(barn):
    settings.UPLOADS_DIR.mkdir(parents=True, exist_ok=True)
    path = settings.UPLOADS_DIR / "some.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("in/a.png", factories.image_bytes())
    job = _import(barn, path, source="camera 3")
    assert job.report["images_added"] == 1
    assert Image.objects.get().source == "camera 3"
    assert not path.exists()


def test_upload_that_was_refused_is_deleted_too(barn):
    settings.UPLOADS_DIR.mkdir(parents=True, exist_ok=True)
    path = settings.UPLOADS_DIR / "broken.zip"
    path.write_bytes(b"no zip")
    assert _import(barn, path).state == "failed"
    assert not path.exists()


def test_upload_waits_for_the_next_worker_when_this_one_stops(barn):
    settings.UPLOADS_DIR.mkdir(parents=True, exist_ok=True)
    path = settings.UPLOADS_DIR / "halfway.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", factories.image_bytes())
    job_context.worker_stops.set()
    try:
        job = _import(barn, path)
    finally:
        job_context.worker_stops.clear()
    assert (job.state, path.exists()) == ("queued", True)
    job_run(job_id=job.pk)
    assert Image.objects.count() == 1
    assert not path.exists()


def test_upload_outlives_the_work_until_the_job_is_closed(barn):
    settings.UPLOADS_DIR.mkdir(parents=True, exist_ok=True)
    path = settings.UPLOADS_DIR / "worker-dies-after-this.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", factories.image_bytes())
    job = import_start(project=barn.project, user=barn.admin, upload_path=path)
    import_run(JobContext(job_take(job_id=job.pk)))
    assert path.exists()
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, path.exists()) == ("succeeded", False)
    # What the first worker had brought in is this import's own: told as new, and as nothing that was left out.
    report = job.report
    assert (report["images_added"], report["images_already_there"], report["problems"]) == (1, 0, [])
    assert Image.objects.count() == 1


@pytest.mark.parametrize("end", ["cancelled while it waits", "given up"])
def test_upload_of_an_import_that_no_worker_ended_is_deleted(barn, end):
    settings.UPLOADS_DIR.mkdir(parents=True, exist_ok=True)
    path = settings.UPLOADS_DIR / "never-read.zip"
    path.write_bytes(b"some bytes")
    job = import_start(project=barn.project, user=barn.admin, upload_path=path)
    if end == "given up":
        past = timezone.now() - timedelta(seconds=5)
        Job.objects.update(state=Job.State.RUNNING, attempt=3, lease_until=past)
        jobs_sweep()
    else:
        job_cancel(job=job, user=barn.admin)
    job.refresh_from_db()
    assert job.state in ("cancelled", "failed")
    assert not path.exists()


def test_server_s_own_folder_is_left_alone(barn, tmp_path):
    (tmp_path / "a.png").write_bytes(factories.image_bytes())
    _import(barn, tmp_path)
    assert os.listdir(tmp_path) == ["a.png"]


def test_import_run_again_makes_no_doubles(barn, tmp_path):
    folder = _coco_folder(tmp_path / "train", [_annotation(1)])
    _import(barn, folder.parent, kind="coco")
    again = _import(barn, folder.parent, kind="coco")
    assert (again.report["images_added"], again.report["images_already_there"]) == (0, 2)
    assert (Image.objects.count(), Pair.objects.count()) == (2, 2)
    assert (again.report["pairs_kept"], again.report["pairs_as_before"]) == (0, 1)
    [group] = again.report["problem_groups"]
    assert (group["why"], group["count"]) == ("These bytes are here already.", 2)


def test_category_finds_its_concept_by_name_or_synonym(barn, tmp_path):
    barn.chicken.synonyms = ["goose"]
    barn.chicken.save()
    _import(barn, _coco_folder(tmp_path / "train", [_annotation(1, 0), _annotation(2, 1)]), kind="coco")
    assert _truths(concept=barn.chicken) == ["present", "present"]
    assert set(Pair.objects.values_list("truth_source", flat=True)) == {"imported"}


def test_image_without_annotations_is_not_a_negative(barn, tmp_path):
    _import(barn, _coco_folder(tmp_path / "train", [_annotation(1)]), kind="coco")
    assert _truths() == ["present", "unseen"]


def test_image_without_annotations_is_a_negative_once_somebody_vouches(barn, tmp_path):
    _import(barn, _coco_folder(tmp_path / "train", [_annotation(1)]), kind="coco", exhaustive=True)
    assert _truths() == ["absent", "present"]


def test_verified_negatives_of_the_document_are_kept(barn, tmp_path):
    images = [{"id": 1, "file_name": "1.png", "width": 16, "height": 16, "neg_category_ids": [0]}]
    _import(barn, _coco_folder(tmp_path / "train", [], images=1) and _rewritten(tmp_path, images), kind="coco")
    assert _truths() == ["absent"]


def _rewritten(tmp_path: Path, images: list[dict]) -> Path:
    path = tmp_path / "train" / "_annotations.coco.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "images": images}))
    return path.parent


def test_unknown_category_is_reported_and_makes_no_concept(barn, tmp_path):
    job = _import(barn, _coco_folder(tmp_path / "train", [_annotation(1, 1)]), kind="coco")
    assert job.report["unknown_categories"] == {"goose": 1}
    assert list(barn.project.concepts.values_list("name", flat=True)) == ["chicken"]
    assert _truths() == ["unseen", "unseen"]


def test_unknown_category_becomes_a_concept_when_asked(barn, tmp_path):
    job = _import(barn, _coco_folder(tmp_path / "train", [_annotation(1, 1)]), kind="coco", create_concepts=True)
    assert job.report["unknown_categories"] == {}
    assert _truths(concept__name="goose") == ["present", "unseen"]


def test_pair_with_an_unreadable_instance_stays_open(barn, tmp_path):
    rows = [_annotation(1), _annotation(1, segmentation=[])]
    job = _import(barn, _coco_folder(tmp_path / "train", rows), kind="coco", exhaustive=True)
    assert _truths() == ["absent", "unseen"]
    assert "no outline and no box" in job.report["problems"][0]["why"]


def test_a_persons_verdict_is_never_overwritten(barn, tmp_path):
    folder = _coco_folder(tmp_path / "train", [_annotation(1)], images=1)
    _import(barn, folder)
    Pair.objects.update(truth="absent", truth_source="annotated")
    job = _import(barn, folder, kind="coco")
    assert (_truths(), job.report["pairs_kept"]) == (["absent"], 1)


def test_masks_for_another_size_are_left_out(barn, tmp_path):
    images = [{"id": 1, "file_name": "1.png", "width": 32, "height": 16}]
    _coco_folder(tmp_path / "train", [_annotation(1)], images=1)
    job = _import(barn, _rewritten(tmp_path, images), kind="coco")
    assert "32 x 16" in job.report["problems"][0]["why"]
    assert _truths() == ["unseen"]


def test_split_that_was_asked_for_goes_before_the_export_s(barn, tmp_path):
    _import(barn, _coco_folder(tmp_path / "train", []), kind="coco", split="holdout")
    assert set(Image.objects.values_list("split", flat=True)) == {"holdout"}


def test_holdout_share_draws_from_what_has_no_split_of_its_own(barn, tmp_path):
    for number in range(60):
        (tmp_path / f"{number}.png").write_bytes(factories.image_bytes(seed=number + 5000))
    job = _import(barn, tmp_path, holdout_share=0.5)
    assert 15 <= job.report["by_split"]["holdout"] <= 45


@pytest.mark.parametrize(
    "options", [{"kind": "voc"}, {"split": "holdouts"}, {"holdout_share": 1.0}, {"holdout_share": -0.1}]
)
def test_wrong_wish_is_refused_and_queues_nothing(barn, tmp_path, options):
    with pytest.raises(RoostError, match=r"\."):
        import_start(project=barn.project, user=barn.admin, upload_path=tmp_path, **options)
    assert not Job.objects.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"plain text"])
def test_upload_that_is_no_zip_fails_in_words_and_writes_nothing(barn, tmp_path, content):
    path = tmp_path / "upload.zip"
    path.write_bytes(content)
    job = _import(barn, path)
    assert (job.state, Image.objects.count()) == ("failed", 0)
    assert "upload.zip is no zip file" in job.reason


def test_export_without_a_document_fails_in_words(barn, tmp_path):
    (tmp_path / "a.png").write_bytes(factories.image_bytes())
    job = _import(barn, tmp_path, kind="coco")
    assert job.state == "failed"
    assert "no image" in job.reason


def test_fuse_neutrals_import_whole(barn):
    if not FUSES.exists():
        pytest.skip("../shared/data/fuse_neutrals is not here")
    job = _import(barn, FUSES, kind="coco", create_concepts=True)
    assert (job.state, job.report["problems"]) == ("succeeded", [])
    assert (job.report["images_added"], job.report["instances"]) == (29, 29)
    assert job.report["by_split"] == {"train": 24, "val": 5}
    assert Image.objects.filter(original_name="Image-35.jpg", split="train", width=512).count() == 1
    assert Pair.objects.filter(concept__name="fuse neutrals", truth="present").count() == 29
