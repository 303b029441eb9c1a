"""Label Studio's exports: which annotation counts, and what each region is. Names with t and k are those of cases."""

import json
import math

import numpy as np
import pytest
from label_studio_sdk.converter import brush

from annotator.common.masks import decode_rle, rle_box_xyxy
from annotator.data.formats import label_studio
from annotator.data.formats.brush_runs import unbrushed
from tests.web.format_trees import CASES, SIZE, areas, found_in, only, records_of, tree

SQUARE = {"points": [[12.5, 16.7], [37.5, 16.7], [37.5, 50], [12.5, 50]], "closed": True}
BOX = {"x": 12.5, "y": 16.6667, "width": 25, "height": 33.3333}


def _region(kind="polygonlabels", label="hen", value=SQUARE, **more):
    return {"id": "r", "from_name": "label", "to_name": "image", "type": kind, "value": value | {kind: [label]}} | more


def _task(*annotations, **data):
    return {"id": 1, "data": {"image": "/data/upload/1/a.jpg"} | data, "annotations": list(annotations)}


def _annotation(*results, **more):
    return {"id": 1, "was_cancelled": False, "result": list(results)} | more


def _document(tmp_path, *tasks):
    return only(found_in(tree(tmp_path, {"export.json": list(tasks)})))


def _read(*results):
    return label_studio.read(_task(_annotation(*results)), size_px=SIZE)


def _of_case(name):
    records, why = records_of(only(found_in(CASES / name)))
    [(file_name, record)] = records.items()
    return file_name, areas(record), why


@pytest.mark.parametrize(
    "name", ["t01-last-annotation-was-cancelled", "t02-region-without-original-size", "k07-control-label-studio"]
)
def test_t01_t02_k07_the_newest_annotation_is_read_in_percent_of_the_picture(name):
    assert _of_case(name) == ("/data/upload/1/a.jpg", [("hen", 256)], [])


def test_newest_annotation_counts_and_ground_truth_before_it(tmp_path):
    old = _annotation(_region(label="old"), updated_at="2026-01-01")
    new = _annotation(_region(label="new"), updated_at="2026-03-01")
    truth = _annotation(_region(label="truth"), updated_at="2026-02-01", ground_truth=True)
    read = [label_studio.read(_task(*rows), size_px=SIZE)[0] for rows in ((new, old), (new, truth, old))]
    assert [areas(record) for record in read] == [[("new", 256)], [("truth", 256)]]
    _, why = records_of(_document(tmp_path, _task(new, old)))
    assert "has 2 annotations" in why[0]


@pytest.mark.parametrize("annotations", [[], [_annotation(was_cancelled=True)]])
def test_task_that_nobody_answered_was_not_looked_at(tmp_path, annotations):
    [listed] = _document(tmp_path, _task(*annotations)).images
    assert listed.covered is False


def test_task_that_was_submitted_empty_was_looked_at(tmp_path):
    [listed] = _document(tmp_path, _task(_annotation())).images
    assert listed.covered is True


def test_rectangle_is_coarse_and_turns_about_its_corner():
    record, problems = _read(
        _region("rectanglelabels", value=BOX),
        _region("rectanglelabels", value=BOX | {"x": 50, "rotation": 90}),
    )
    assert problems == []
    assert [one.coarse for one in record.instances] == [True, True]
    # 16 x 16 px at (32, 8), turned clockwise about that corner, lie to the left of it.
    assert [rle_box_xyxy(one.mask) for one in record.instances] == [(8, 8, 24, 24), (16, 8, 32, 24)]


def test_ellipse_is_an_area():
    value = {"x": 50, "y": 50, "radiusX": 25, "radiusY": 16.6667, "rotation": 0}
    record, _ = _read(_region("ellipselabels", value=value), _region("ellipselabels", value=value | {"rotation": 90}))
    flat, upright = (decode_rle(one.mask) for one in record.instances)
    assert [one.coarse for one in record.instances] == [False, False]
    assert flat.sum() == pytest.approx(math.pi * 16 * 8, rel=0.03)
    assert (np.nonzero(flat.any(axis=0))[0].tolist()[0], np.nonzero(upright.any(axis=0))[0].tolist()[0]) == (16, 24)


def test_shape_and_label_that_are_controls_of_their_own_are_one_region():
    shape = {"id": "x", "type": "polygon", "value": SQUARE}
    label = {"id": "x", "type": "labels", "value": SQUARE | {"labels": ["hen"]}}
    record, problems = _read(shape, label)
    assert (areas(record), problems) == ([("hen", 256)], [])


def test_verified_negatives_are_the_choices_absent(tmp_path):
    choice = {"id": "c", "from_name": "absent", "type": "choices", "value": {"choices": ["duck"]}}
    document = _document(tmp_path, _task(_annotation(_region(), choice)))
    assert [one.name for one in document.categories] == ["duck", "hen"]
    [record] = records_of(document)[0].values()
    assert record.absent == ["duck"]


@pytest.mark.parametrize(
    ("region", "why"),
    [
        (_region(original_width=64, original_height=480), "size is not the image's"),
        (_region(original_width=48, original_height=64), "EXIF"),
        (_region(image_rotation=90), "rotated"),
        (_region("rectanglelabels", value={"x": 1}), "no mask"),
        (_region("ellipselabels", value={"x": 1, "y": 1, "radiusX": 0, "radiusY": 5}), "radius"),
        (_region(value={"points": [[0, 0], [10**400, 5], [5, 5]]}), "finite"),
        (_region("vectorlabels"), "is no mask"),
        (_region("bitmasklabels", value={"imageDataURL": "data:image/png;base64,!"}), "can't be read"),
    ],
)
def test_region_that_can_not_be_read_is_told_and_leaves_its_label_open(region, why):
    record, [problem] = _read(region)
    assert why in problem.why
    assert (record.instances, record.unsure) == ([], {"hen"})


def test_region_without_a_label_leaves_every_class_open(tmp_path):
    nameless = {"id": "y", "type": "polygon", "value": SQUARE}
    document = _document(tmp_path, _task(_annotation(_region())), _task(_annotation(nameless), image="/b.jpg"))
    assert "hen" in records_of(document)[0]["/b.jpg"].unsure


@pytest.mark.parametrize(
    ("data", "address"),
    [
        ({"image": "s3://bucket/barn/a 1.jpg"}, "s3://bucket/barn/a 1.jpg"),
        ({"photo_of_hen": "https://x.example/h/a.jpg?sig=1", "note": "brown"}, "https://x.example/h/a.jpg?sig=1"),
        ({"url": "/data/local-files/?d=farm%2Fa.jpg"}, "/data/local-files/?d=farm%2Fa.jpg"),
        ({"img": "/tasks/4/resolve/?fileuri=czM6Ly9i"}, "/tasks/4/resolve/?fileuri=czM6Ly9i"),
    ],
)
def test_picture_is_whatever_key_of_the_data_holds_one(tmp_path, data, address):
    task = {"id": 1, "data": data, "annotations": [_annotation()]}
    assert [one.file_name for one in _document(tmp_path, task).images] == [address]


@pytest.mark.parametrize("data", [{"text": "hen"}, {"left": "/a.jpg", "right": "/b.jpg"}, {"image": ["/a.jpg"]}, 7])
def test_task_without_one_picture_is_a_problem(tmp_path, data):
    bad = {"id": 2, "data": data, "annotations": [_annotation()]}
    document = _document(tmp_path, _task(_annotation()), bad)
    assert [problem.where for problem in document.problems] == ["task no. 2"]
    assert len(document.images) == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([{"image": "/a.jpg", "id": 1, "label": [], "annotator": 1, "annotation_id": 1}], "JSON-MIN"),
        ({"id": 1, "result": [], "task": {"data": {}}}, "target storage"),
    ],
)
def test_exports_of_other_kinds_are_refused_by_name(tmp_path, content, why):
    [refused] = found_in(tree(tmp_path, {"export.json": content})).refused
    assert why in refused.why


def test_task_of_its_own_file_is_read(tmp_path):
    found = found_in(
        tree(tmp_path, {"1.json": json.dumps(_task(_annotation(_region()))), "config.xml": "<View></View>"})
    )
    assert [one.file_name for one in only(found).images] == ["/data/upload/1/a.jpg"]


def test_choices_incomplete_say_that_not_all_objects_are_outlined():
    choice = {"id": "c", "from_name": "incomplete", "type": "choices", "value": {"choices": ["hen"]}}
    record, problems = _read(_region(), choice)
    assert (record.incomplete, record.absent, problems) == ({"hen"}, [], [])


@pytest.mark.parametrize("seed", range(4))
def test_brush_of_any_four_channels_is_unpacked_as_the_sdk_unpacks_it(seed):
    """Soft edges and noise: runs of equal values, and stretches of single ones."""
    rng, (width, height) = np.random.default_rng(seed), (37, 23)
    pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    pixels[4:15, 5:30] = [0, 90, 130, 255]
    rle = brush.encode_rle(pixels.ravel())
    found = unbrushed(bytes(rle), (width, height))
    wanted = brush.decode_rle(rle).reshape(height, width, 4)[:, :, 3] > 127
    assert (wanted == (pixels[:, :, 3] > 127)).all()
    assert (decode_rle(found) == wanted).all()


def test_split_is_taken_from_the_tasks_data_where_it_names_one(tmp_path):
    tasks = [_task(_annotation(_region()), split=split) for split in ("val", "holdout", "north", 7)]
    assert [one.split for one in _document(tmp_path, *tasks).images] == ["val", "holdout", None, None]
