"""All that a project knows goes out in a format and into a second project, row by row the same."""

import zipfile

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from annotator.common.masks import encode_mask, rle_iou
from annotator.data.exports import FORMATS, export_file, export_start
from annotator.data.imports import import_start
from annotator.data.snapshots import snapshot_create
from annotator.jobs.runner import job_run
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
SIDE_PX = 96
MASKS_GO = [name for name in FORMATS if name != "yolo_detect"]


def _blob(seed: int) -> np.ndarray:
    """Several parts, with holes."""
    return gaussian_filter(np.random.default_rng(seed).random((SIDE_PX, SIDE_PX)), 4) > 0.505


@pytest.fixture
def barn(barn):
    """Present once and twice, absent, not outlined completely, and a pair that nobody looked at."""
    duck = factories.make_concept(barn.project, "duck")
    disc = np.hypot(*np.mgrid[-40:56, -44:52]) < 30

    def image(split: str, name: str):
        return factories.make_image(barn.project, width=SIDE_PX, height=SIDE_PX, split=split, original_name=name)

    def pair(concept, image, *masks, **fields):
        instances = [factories.make_instance(encode_mask(mask)) for mask in masks]
        factories.make_pair(barn.project, concept, image, instances=instances, **fields)

    first, second, third, fourth = image("train", "a.png"), image("val", "a.png"), image("train", "ü b.png"), None
    fourth = image("holdout", "d.png")
    pair(barn.chicken, first, disc, _blob(1), truth="present")
    pair(duck, first, truth="absent")
    pair(barn.chicken, second, truth="absent")
    pair(duck, second, truth="absent")
    pair(barn.chicken, third, _blob(2), truth="present", is_exhaustive=False)
    pair(duck, third, disc, truth="present")
    pair(barn.chicken, fourth, truth="absent")
    pair(duck, fourth)
    return barn


def _run(job):
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    return job


def _again(barn, **wishes):
    """A second project, filled from the first one's export by somebody who vouches for what is outlined."""
    path = export_file(job=_run(export_start(project=barn.project, user=barn.admin, **wishes)))
    other = factories.make_project(barn.admin, "Other")
    for name in ("chicken", "duck"):
        factories.make_concept(other, name)
    _run(import_start(project=other, user=barn.admin, upload_path=path, kind="auto", complete=True))
    return other


def _rows(project) -> dict:
    columns = ("image__sha256", "concept__name", "image__split", "truth", "is_exhaustive", "instances")
    rows = project.pairs.exclude(truth="unseen").values_list(*columns)
    return {row[:2]: row[2:] for row in rows}


def _compare(found: dict, wanted: dict) -> None:
    assert {key: row[:3] for key, row in found.items()} == {key: row[:3] for key, row in wanted.items()}
    for key, (*_, instances) in wanted.items():
        ious = [rle_iou(one["mask"], other["mask"]) for one, other in zip(found[key][3], instances, strict=True)]
        assert ious == [1.0] * len(instances), key


@pytest.mark.parametrize("wishes", [{}, {"masks": "polygon"}], ids=["rle", "polygon"])
def test_coco_comes_back_row_by_row(barn, wishes):
    _compare(_rows(_again(barn, format="coco", include_unlooked=True, **wishes)), _rows(barn.project))


@pytest.mark.parametrize("boxes", ["norm", "px"])
def test_saco_comes_back_row_by_row(barn, boxes):
    _compare(_rows(_again(barn, format="saco", boxes=boxes)), _rows(barn.project))


def test_labelme_comes_back_row_by_row(barn):
    _compare(_rows(_again(barn, format="labelme", include_unlooked=True)), _rows(barn.project))


def test_label_studio_comes_back_row_by_row(barn):
    _compare(_rows(_again(barn, format="label_studio", include_unlooked=True)), _rows(barn.project))


def test_yolo_comes_back_with_what_it_can_carry(barn):
    """Only pictures that are settled wholly; what a label file leaves out was looked for, for those who vouch."""
    wanted = {
        key: row for key, row in _rows(barn.project).items() if row[0] in ("train", "val") and row[1] == "present"
    }
    whole = {key: row for key, row in wanted.items() if row[2] and key[1] == "chicken"}
    found = {key: row for key, row in _rows(_again(barn, format="yolo")).items() if row[1] == "present"}
    _compare(found, whole)


def test_snapshot_comes_back_row_by_row(barn):
    barn.project.pairs.update(is_exhaustive=True)
    number = snapshot_create(project=barn.project, user=barn.admin).number
    before = _rows(barn.project)
    barn.project.pairs.update(truth="unseen", instances=[])
    _compare(_rows(_again(barn, format="saco", snapshot=number)), before)


def test_no_document_invents_a_negative(barn):
    """Of the pair that nobody looked at, whatever the format."""
    for format in MASKS_GO:
        other = _again(barn, format=format, **({} if format in ("yolo", "saco") else {"include_unlooked": True}))
        open_pair = other.pairs.filter(image__original_name="d.png", concept__name="duck").exclude(truth="unseen")
        assert not open_pair.exists(), format
        other.delete()


def test_zip_is_whole_with_names_that_need_care(barn):
    job = _run(export_start(project=barn.project, user=barn.admin, format="label_studio", include_unlooked=True))
    with zipfile.ZipFile(export_file(job=job)) as archive:
        assert archive.testzip() is None
        assert {name for name in archive.namelist() if name.startswith("images/")} == {
            "images/a.png",
            "images/a-2.png",
            "images/ü_b.png",
            "images/d.png",
        }
