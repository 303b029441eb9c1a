"""Exports by the job's own body; what comes out is imported again into a second project."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
import yaml
from PIL import Image as PillowImage

from annotator.common.errors import RoostError
from annotator.common.masks import rle_iou
from annotator.data.exports import FORMATS, export_file, export_start
from annotator.data.image_store import image_add
from annotator.data.imports import import_start
from annotator.data.snapshots import snapshot_create
from annotator.jobs.runner import job_run
from annotator.models import Image, Job, Pair
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def filled(barn):
    """Two splits, two masks, verified negatives, and a picture that nobody looked at."""
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
    factories.make_pair(barn.project, duck, holdout, truth="absent")
    factories.make_pair(barn.project, barn.chicken)
    return barn


@pytest.fixture
def half_seen(filled):
    """Of the holdout's picture nobody has looked for ducks."""
    filled.project.pairs.filter(image__split="holdout", concept__name="duck").update(truth="unseen")
    return filled


def _opened(job: Job) -> zipfile.ZipFile:
    return zipfile.ZipFile(export_file(job=job))


def _manifest(job: Job) -> dict:
    with _opened(job) as archive:
        return json.loads(archive.read("manifest.json"))


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
        "holdout": {"images": 1, "instances": 0, "verified_negatives": 2},
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


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "saco"])
def test_picture_with_a_concept_that_nobody_looked_for_is_left_out_and_named(half_seen, format):
    job = _export(half_seen, format=format)
    manifest = _manifest(job)
    [left] = manifest["left_out"]
    assert (left["split"], list(manifest["counts"])) == ("holdout", ["train"])
    assert "duck" in left["why"]
    assert job.report["left_out"] == [left]


def test_pairs_stand_for_themselves_in_saco(half_seen):
    job = _export(half_seen, format="saco")
    with _opened(job) as archive:
        rows = json.loads(archive.read("holdout.json"))["images"]
    assert [row["text_input"] for row in rows] == ["chicken"]
    assert _manifest(job)["left_out"] == []


@pytest.mark.parametrize("format", ["coco", "labelme", "label_studio"])
def test_formats_that_can_tell_take_such_a_picture_in_when_asked(half_seen, format):
    job = _export(half_seen, format=format, include_unlooked=True)
    assert job.report["counts"]["holdout"] == {"images": 1, "instances": 0, "verified_negatives": 1}


def test_yolo_can_not_be_asked_for_them(half_seen):
    with pytest.raises(RoostError, match="counts as background"):
        export_start(project=half_seen.project, user=half_seen.admin, format="yolo", include_unlooked=True)


def test_concepts_named_are_the_only_ones_that_have_to_be_settled(half_seen):
    job = _export(half_seen, format="yolo", concepts=["chicken"])
    assert {split: row["images"] for split, row in job.report["counts"].items()} == {"train": 1, "holdout": 1}


def test_concept_of_which_nothing_is_settled_holds_nothing_up(filled):
    factories.make_concept(filled.project, "goose")
    job = _export(filled, format="yolo")
    assert _manifest(job)["categories"] == {"chicken": 1, "duck": 2}
    assert "goose" in job.report["notes"]


@pytest.fixture
def partly_outlined(filled):
    filled.project.pairs.filter(truth="present").update(is_exhaustive=False)
    return filled


def test_pair_of_which_not_all_is_outlined_says_so_in_every_format_that_can(partly_outlined):
    with _opened(_export(partly_outlined, format="coco")) as archive:
        [image] = json.loads(archive.read("train/_annotations.coco.json"))["images"]
    assert (image["not_exhaustive_category_ids"], image["neg_category_ids"]) == ([1], [2])
    with _opened(_export(partly_outlined, format="saco")) as archive:
        rows = json.loads(archive.read("train.json"))["images"]
    assert [(row["noun_phrase"], row["is_instance_exhaustive"]) for row in rows] == [("chicken", 0), ("duck", 1)]
    with _opened(_export(partly_outlined, format="labelme")) as archive:
        [name] = [name for name in archive.namelist() if name.startswith("train/") and name.endswith(".json")]
        assert json.loads(archive.read(name))["flags"] == {"no duck": True, "not all chicken": True}
    with _opened(_export(partly_outlined, format="label_studio")) as archive:
        results = [one for task in json.loads(archive.read("tasks.json")) for one in task["annotations"][0]["result"]]
    assert {"choices": ["chicken"]} in [one["value"] for one in results if one["from_name"] == "incomplete"]


def test_yolo_leaves_such_a_picture_out_and_says_so(partly_outlined):
    job = _export(partly_outlined, format="yolo")
    [left] = _manifest(job)["left_out"]
    assert (left["split"], "outlined" in left["why"]) == ("train", True)


@pytest.mark.parametrize("format", FORMATS)
def test_pair_that_is_present_without_an_outline_is_nowhere_a_negative(filled, format):
    filled.project.pairs.filter(truth="present").update(instances=[])
    job = _export(filled, format=format)
    with _opened(job) as archive:
        documents = {
            name: archive.read(name).decode() for name in archive.namelist() if name.endswith((".json", ".txt"))
        }
    if format == "saco":
        assert [row["text_input"] for row in json.loads(documents["train.json"])["images"]] == ["duck"]
    elif format.startswith("yolo"):
        assert "train" not in job.report["counts"]
    elif format == "coco":
        [image] = json.loads(documents["train/_annotations.coco.json"])["images"]
        assert (image["neg_category_ids"], image["not_exhaustive_category_ids"]) == ([2], [1])
    assert not any('"no chicken"' in text for name, text in documents.items() if name.startswith("train/"))


def _ids(job: Job) -> dict:
    found = {}
    with _opened(job) as archive:
        for name in archive.namelist():
            if name.endswith(".coco.json"):
                document = json.loads(archive.read(name))
                found |= {row["id"]: row["file_name"] for row in document["images"]}
                found |= {("annotation", row["id"]): row["image_id"] for row in document["annotations"]}
    return found


def test_numbers_are_the_same_for_equal_content_and_whatever_split_is_chosen(filled):
    whole = _ids(_export(filled, with_images=False))
    assert len(whole) == 4
    parts = {}
    for split in ("train", "holdout"):
        parts |= _ids(_export(filled, splits=[split], with_images=False))
    assert parts == whole == _ids(_export(filled, with_images=False))


def test_boxes_of_saco_are_shares_or_pixels(filled):
    found = {}
    for boxes in ("norm", "px"):
        with _opened(_export(filled, format="saco", boxes=boxes)) as archive:
            found[boxes] = json.loads(archive.read("train.json"))["annotations"][0]
    side = factories.SIZE_PX
    assert (found["px"]["bbox"], found["px"]["area"]) == ([1, 2, 7, 7], 49)
    assert found["norm"]["bbox"] == pytest.approx([value / side for value in (1, 2, 7, 7)])


def test_coco_masks_are_polygons_where_asked_for(filled):
    with _opened(_export(filled, masks="polygon")) as archive:
        first, _ = json.loads(archive.read("train/_annotations.coco.json"))["annotations"]
    assert first["segmentation"] == [[1, 2, 8, 2, 8, 9, 1, 9]]


@pytest.mark.parametrize("options", [{"format": "yolo", "masks": "polygon"}, {"boxes": "px"}, {"masks": "svg"}])
def test_choice_that_a_format_does_not_have_is_refused(filled, options):
    with pytest.raises(RoostError, match="has a choice"):
        export_start(project=filled.project, user=filled.admin, **options)


def test_snapshot_is_exported_as_it_was(filled):
    before = _ids(_export(filled, with_images=False))
    number = snapshot_create(project=filled.project, user=filled.admin).number
    filled.project.pairs.filter(truth="present").update(truth="absent", instances=[])
    job = _export(filled, snapshot=number)
    assert _ids(job) == before
    assert job.report["counts"]["train"] == {"images": 1, "instances": 2, "verified_negatives": 1}
    with pytest.raises(RoostError, match="no snapshot 9"):
        export_start(project=filled.project, user=filled.admin, snapshot=9)


def test_picture_that_a_flag_turns_is_written_upright_and_named(barn):
    """Red above blue as the camera held it; the flag says: turn clockwise. Upright, red is on the right."""
    pixels = np.zeros((16, 24, 3), dtype=np.uint8)
    pixels[:8, :, 0] = pixels[8:, :, 2] = 255
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", quality=95, exif=exif)
    buffer.seek(0)
    image, _ = image_add(project=barn.project, stream=buffer, name="turned.jpg", split="train")
    image.pairs.update(truth="absent")
    job = _export(barn)
    with _opened(job) as archive:
        written = PillowImage.open(io.BytesIO(archive.read("train/turned.jpg")))
    assert (written.size, written.getexif().get(0x0112)) == ((16, 24), None)
    seen = np.asarray(written.convert("RGB")).astype(int)
    assert seen[:, 12:, 0].mean() > 200 > 60 > seen[:, :4, 0].mean()
    assert _manifest(job)["written_upright"] == [{"path": "train/turned.jpg", "sha256": image.sha256}]


def test_yolo_names_usable_splits_and_no_path(filled):
    with _opened(_export(filled, format="yolo", splits=["train"])) as archive:
        data = yaml.safe_load(archive.read("data.yaml"))
    assert data == {"train": "images/train", "val": "images/train", "names": {0: "chicken", 1: "duck"}}


def test_export_to_a_folder_has_the_same_files_and_overwrites_nothing(filled, tmp_path):
    job = _export(filled, to=str(tmp_path / "out"))
    with _opened(_export(filled)) as archive:
        names = sorted(archive.namelist())
    written = (tmp_path / "out").rglob("*")
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in written if path.is_file()) == names
    assert job.report["to"] == str(tmp_path / "out")
    with pytest.raises(RoostError, match="not empty"):
        export_start(project=filled.project, user=filled.admin, to=str(tmp_path / "out"))


@pytest.mark.parametrize("to", ["/tmp/somewhere", "s3://shut/away"])
def test_person_may_name_only_an_open_bucket(filled, to):
    with pytest.raises(RoostError, match=r"bucket"):
        export_start(project=filled.project, user=filled.admin, to=to, named_by_person=True)
    assert not Job.objects.exists()
