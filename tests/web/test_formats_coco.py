import json
import math

import pytest

from annotator.common.errors import ImportRefusedError
from annotator.common.masks import rle_area
from annotator.data.formats import coco
from annotator.data.formats.records import Category, ImageRecord, Instance, UniqueNames, json_read, safe_name
from tests.factories import box_rle
from tests.web.written import written

SQUARE = [[2, 2, 6, 2, 6, 6, 2, 6]]


def _document(**changes) -> dict:
    document = {
        "categories": [{"id": 0, "name": "hen"}, {"id": 1, "name": "duck"}],
        "images": [{"id": 5, "file_name": "a.jpg", "width": 16, "height": 16}],
        "annotations": [{"id": 1, "image_id": 5, "category_id": 0, "segmentation": SQUARE, "bbox": [2.1, 2, 3.9, 4]}],
    }
    return {**document, **changes}


def _annotation(**fields) -> dict:
    return {"id": 9, "image_id": 5, "category_id": 0, "segmentation": SQUARE, **fields}


def test_polygon_becomes_a_mask_of_its_area():
    [image] = coco.read(_document()).images
    assert [(one.category, rle_area(one.mask)) for one in image.instances] == [("hen", 16)]


@pytest.mark.parametrize("counts", [[34, 4, 12, 4, 202], box_rle(2, 2, 6, 4)["counts"]], ids=["listed", "compressed"])
def test_both_kinds_of_rle_are_read(counts):
    rows = [_annotation(segmentation={"size": [16, 16], "counts": counts}, iscrowd=0)]
    [image] = coco.read(_document(annotations=rows)).images
    assert rle_area(image.instances[0].mask) == 8


def test_ids_written_as_text_still_match():
    rows = [_annotation(image_id="5", category_id="0")]
    assert len(coco.read(_document(annotations=rows)).images[0].instances) == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"image_id": 77}, "image is not in the file"),
        ({"category_id": 77}, "category is not in the file"),
        ({"category_id": True}, "category is not in the file"),
        ({"segmentation": []}, "no outline and no box"),
        ({"segmentation": None, "bbox": [1, 1, 0, 4]}, "no pixel"),
        ({"segmentation": [[1, 1, 2]]}, "three points"),
        ({"segmentation": [[20, 20, 30, 20, 30, 30]]}, "no pixel inside"),
        ({"segmentation": {"size": [16, 16], "counts": [1, 2]}}, "add up"),
        ({"segmentation": {"size": [8, 32], "counts": [200, 56]}}, "made for"),
        ({"iscrowd": 1}, "crowd"),
    ],
)
def test_bad_annotation_is_a_problem_and_the_others_stay(fields, why):
    dataset = coco.read(_document(annotations=[_annotation(), _annotation(**fields)]))
    assert [why in problem.why for problem in dataset.problems] == [True]
    assert len(dataset.images[0].instances) == 1


def test_image_with_an_unreadable_instance_is_unsure_of_that_category():
    rows = [_annotation(), _annotation(segmentation=[])]
    assert coco.read(_document(annotations=rows)).images[0].unsure == {"hen"}


@pytest.mark.parametrize(
    "row",
    [
        {"id": 5, "file_name": "twice.jpg", "width": 16, "height": 16},
        {"file_name": "no-id.jpg", "width": 16, "height": 16},
        {"id": 6, "width": 16, "height": 16},
        {"id": 6, "file_name": "sizeless.jpg"},
        {"id": 6, "file_name": "text.jpg", "width": "wide", "height": 16},
        7,
    ],
)
def test_bad_image_row_is_a_problem_and_the_others_stay(row):
    document = _document()
    document["images"].append(row)
    dataset = coco.read(document)
    assert len(dataset.problems) == 1
    assert [image.file_name for image in dataset.images] == ["a.jpg"]


def test_roboflow_s_empty_root_category_is_left_out():
    categories = [
        {"id": 0, "name": "birds", "supercategory": "none"},
        {"id": 1, "name": "hen", "supercategory": "birds"},
    ]
    dataset = coco.read(_document(categories=categories, annotations=[_annotation(category_id=1)]))
    assert [category.name for category in dataset.categories] == ["hen"]


def test_category_zero_with_annotations_stays():
    categories = [{"id": 0, "name": "hen", "supercategory": "none"}]
    assert [category.id for category in coco.read(_document(categories=categories)).categories] == [0]


def test_original_name_is_read_from_roboflow_s_extra():
    images = [{"id": 5, "file_name": "a_jpg.rf.1.jpg", "width": 16, "height": 16, "extra": {"name": "a.jpg"}}]
    assert coco.read(_document(images=images)).images[0].name == "a.jpg"


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("valid", "val"), ("val2017", "val"), ("test", "test"), ("images", None), ("", None)],
)
def test_split_is_told_by_the_folder(name, split):
    assert coco.split_named(name) == split


@pytest.mark.parametrize("document", [[], {}, {"images": {}}, {"images": [], "annotations": 3}, "x", None])
def test_what_is_no_coco_document_is_refused(document):
    with pytest.raises(ImportRefusedError, match="no COCO document"):
        coco.read(document)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", "{}".encode("utf-16"), b'{"images": [NaN]}', b"[" * 200_000, b"\xff\xfe\x00"],
    ids=["empty", "cut", "UTF-16", "NaN", "deep", "binary"],
)
def test_bad_json_is_refused_in_words(content):
    with pytest.raises(ImportRefusedError, match="export"):
        json_read(content, where="this export")


def test_byte_order_mark_is_survived():
    assert json_read(b"\xef\xbb\xbf" + b'{"a": 1}', where="it") == {"a": 1}


def _records() -> list[ImageRecord]:
    return [
        ImageRecord(
            "a.jpg", 16, 16, "train", "a.jpg", [Instance("hen", box_rle()), Instance("hen", box_rle(0, 0, 3, 3))]
        ),
        ImageRecord("b.jpg", 16, 16, "train", "b.jpg", [], ["hen", "duck"]),
    ]


def _written(folder) -> str:
    files = written("coco", _records(), [Category(0, "hen"), Category(7, "duck")], folder)
    return files["train/_annotations.coco.json"]


def test_round_trip_keeps_masks_and_verified_negatives_to_the_pixel(tmp_path):
    read = coco.read(json.loads(_written(tmp_path)))
    assert [image.instances for image in read.images] == [image.instances for image in _records()]
    assert [image.absent for image in read.images] == [[], ["hen", "duck"]]
    assert not read.problems


def test_pycocotools_reads_what_is_written(tmp_path, capsys):
    from pycocotools.coco import COCO

    path = tmp_path / "coco.json"
    path.write_text(_written(tmp_path))
    reference = COCO(str(path))
    [first, second] = reference.loadAnns(reference.getAnnIds(imgIds=[1]))
    assert reference.annToMask(first).sum() == first["area"] == 49
    assert second["bbox"] == [0, 0, 3, 3]


def test_names_of_an_export_are_safe_and_unique():
    names, given = UniqueNames(), ("a.jpg", "A.jpg", "a.png", "../../etc/passwd", "-rf", "a\nb.png")
    assert [names.taken(name) for name in given] == ["a.jpg", "A-2.jpg", "a-3.png", "passwd", "rf", "a_b.png"]
    assert safe_name("\0") == "_"
    assert math.isclose(len(safe_name("x" * 300)), 100)
