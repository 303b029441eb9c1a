"""All that a project knows goes out in a format and into a second project, row by row the same."""

import zipfile

import pytest

from annotator.common.masks import rle_iou
from annotator.data.exports import FORMATS, export_file, export_start
from annotator.data.imports import import_start
from annotator.data.snapshots import snapshot_create
from annotator.jobs.runner import job_run
from tests import factories
from tests.web.odd_barn import TURNED, fill_oddly

pytestmark = pytest.mark.django_db(transaction=True)
MASKS_GO = [name for name in FORMATS if name != "yolo_detect"]


@pytest.fixture
def barn(barn):
    return fill_oddly(barn)


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
    """By the picture's bytes, but for the turned one, which is written anew."""
    columns = ("image__sha256", "image__original_name", "concept__name")
    rows = project.pairs.exclude(truth="unseen").values_list(
        *columns, "image__split", "truth", "is_exhaustive", "instances"
    )
    return {(name if name == TURNED else sha256, concept): row for sha256, name, concept, *row in rows}


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
    settled = _rows(barn.project)
    left_out = {key[0] for key, row in settled.items() if not row[2] or row[0] == "holdout"}
    whole = {key: row for key, row in settled.items() if row[1] == "present" and key[0] not in left_out}
    assert len(whole) == 2
    _compare({key: row for key, row in _rows(_again(barn, format="yolo")).items() if row[1] == "present"}, whole)


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
            f"images/{TURNED}",
        }
