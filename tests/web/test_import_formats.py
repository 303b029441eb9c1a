"""Every format by the same door: each export through the import's own job, to the truth of its pairs."""

import pytest

from annotator.common.masks import rle_area
from annotator.data.imports import import_start
from annotator.jobs.runner import job_run
from annotator.models import Pair
from tests.web.format_trees import CASES, SQUARE, tree

pytestmark = pytest.mark.django_db(transaction=True)

POINTS = [[8, 8], [24, 8], [24, 24], [8, 24]]
PERCENT = [[12.5, 16.6667], [37.5, 16.6667], [37.5, 50], [12.5, 50]]
REGION = {"type": "polygonlabels", "value": {"points": PERCENT, "polygonlabels": ["chicken"]}}
NO_GOOSE = {"from_name": "absent", "type": "choices", "value": {"choices": ["goose"]}}
CVAT = (
    "<annotations><meta><task><labels><label><name>goose</name></label></labels></task></meta>"
    '<image id="0" name="a.jpg" width="64" height="48">'
    '<polygon label="chicken" points="8,8;24,8;24,24;8,24"/></image></annotations>'
)
SHAPE = {"label": "chicken", "points": POINTS, "shape_type": "polygon"}
FORMATS = {
    "labelme": {"a.json": {"shapes": [SHAPE], "imagePath": "a.jpg", "flags": {"no goose": True}}},
    "yolo": {"data.yaml": "names: [chicken, goose]\n", "a.txt": f"0 {SQUARE}"},
    "label_studio": {
        "export.json": [
            {
                "data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"},
                "annotations": [{"id": 1, "result": [REGION, NO_GOOSE]}],
            }
        ]
    },
    "cvat": {"annotations.xml": CVAT},
}


def _imported(barn, path, **options):
    job = import_start(project=barn.project, user=barn.admin, upload_path=path, create_concepts=True, **options)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    return job.report


def _truths(**more):
    rows = Pair.objects.filter(**more).values_list("concept__name", "truth")
    return {name: truth for name, truth in rows if name in ("chicken", "goose")}


@pytest.mark.parametrize("name", FORMATS)
def test_outline_becomes_a_present_pair_and_what_was_vouched_for_an_absent_one(barn, tmp_path, name):
    report = _imported(barn, tree(tmp_path, FORMATS[name] | {"a.jpg": None}), exhaustive=True)
    assert (report["images_added"], report["instances"]) == (1, 1)
    assert _truths() == {"chicken": "present", "goose": "absent"}
    [instance] = Pair.objects.get(truth="present").instances
    assert rle_area(instance["mask"]) == 256


@pytest.mark.parametrize(("name", "goose"), [("labelme", "absent"), ("label_studio", "absent"), ("yolo", "unseen")])
def test_without_a_word_only_what_the_file_itself_says_is_a_negative(barn, tmp_path, name, goose):
    _imported(barn, tree(tmp_path, FORMATS[name] | {"a.jpg": None}))
    assert _truths().get("goose") == goose
    assert _truths()["chicken"] == "present"


def test_boxes_are_no_truth(barn, tmp_path):
    files = {"data.yaml": "names: [chicken, goose]\n", "a.txt": "0 0.25 0.33 0.25 0.33", "a.jpg": None}
    _imported(barn, tree(tmp_path, files), exhaustive=True)
    assert _truths()["chicken"] == "unseen"


def test_picture_without_a_label_file_is_no_negative(barn, tmp_path):
    files = {"data.yaml": "names: [chicken, goose]\n", "images/a.jpg": None, "labels/a.txt": f"0 {SQUARE}"}
    root = tree(tmp_path, files)
    (root / "images" / "b.jpg").write_bytes((root / "images" / "a.jpg").read_bytes() + b"another")
    _imported(barn, root, exhaustive=True)
    assert _truths(image__original_name="b.jpg").get("chicken", "unseen") == "unseen"
    assert _truths(image__original_name="a.jpg") == {"chicken": "present", "goose": "absent"}


def test_y04_pose_labels_give_no_truth_and_are_named(barn):
    report = _imported(barn, CASES / "y04-pose-labels", exhaustive=True)
    assert any("pose labels" in problem["why"] for problem in report["problems"])
    assert Pair.objects.exclude(truth="unseen").count() == 0


@pytest.mark.parametrize(("inside", "told"), [("iVBORw0KGgo=", True), (None, False)])
def test_picture_that_only_its_labelme_file_holds_is_said_to_be_inside(barn, tmp_path, inside, told):
    document = {"shapes": [SHAPE], "imagePath": "a.jpg", "imageData": inside, "imageWidth": 64, "imageHeight": 48}
    report = _imported(barn, tree(tmp_path, {"a.json": document, "b.jpg": None}))
    [row] = [row for row in report["problem_groups"] if row["files"] == ["a.jpg"]]
    assert row["why"].startswith("No such file is in the export")
    assert ("the picture is inside the annotation file (imageData)" in row["why"]) is told
