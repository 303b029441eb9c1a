"""LabelMe's files: each shape as the tool itself means it. Names with l, k, c are those of cases."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from annotator.common.errors import ImportRefusedError
from annotator.common.masks import decode_rle, rle_box_xyxy
from annotator.data.formats import labelme
from tests.web.format_trees import CASES, SIZE, areas, found_in, only, records_of, tree

SQUARE = [[8, 8], [24, 8], [24, 24], [8, 24]]


def _case(name):
    return records_of(only(found_in(CASES / name)))


def _file(*shapes, **more):
    return {"version": "5", "flags": {}, "shapes": list(shapes), "imagePath": "a.jpg", "imageData": None} | more


def _shape(label="hen", points=SQUARE, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None} | more


def _read(*shapes, size_px=SIZE, **more):
    return labelme.read(_file(*shapes, **more), size_px=size_px)


def test_l01_group_id_is_one_object():
    records, why = _case("l01-group-id-is-one-object")
    assert (areas(records["a.jpg"]), why) == ([("hen", 512), ("hen", 256)], [])


def test_l02_rectangle_of_four_points():
    records, why = _case("l02-rectangle-of-four-points")
    assert (areas(records["a.jpg"]), why) == ([("hen", 256)], [])


def test_l03_mask_at_fractions():
    records, why = _case("l03-mask-at-fractions")
    [instance] = records["a.jpg"].instances
    assert (rle_box_xyxy(instance.mask), why) == ((8, 8, 25, 25), [])


def test_l04_no_size_in_the_file():
    records, why = _case("l04-no-size-in-the-file")
    assert (areas(records["a.jpg"]), why) == ([("hen", 256)], [])


def test_l05_name_with_spaces():
    records, _ = _case("l05-name-with-spaces")
    assert list(records) == ["My hen (1).jpg"]


def test_l06_circle():
    records, _ = _case("l06-circle")
    [(label, area)] = areas(records["a.jpg"])
    assert label == "hen"
    assert abs(area - math.pi * 8**2) < 0.05 * math.pi * 8**2


def test_k04_control_labelme():
    records, why = _case("k04-control-labelme")
    assert (areas(records["a.jpg"]), why) == ([("hen", 256), ("duck", 256)], [])


def test_groups_of_other_labels_and_shapes_without_a_group_stay_apart():
    away = [[x + 30, y] for x, y in SQUARE]
    record, _ = _read(_shape(group_id=1), _shape("duck", away, group_id=1), _shape(points=away), _shape(points=SQUARE))
    assert areas(record) == [("hen", 256), ("duck", 256), ("hen", 256), ("hen", 256)]


def test_parts_of_a_group_that_overlap_count_once():
    record, _ = _read(_shape(group_id="x"), _shape(points=[[x + 8, y] for x, y in SQUARE], group_id="x"))
    assert areas(record) == [("hen", 16 * 24)]


def test_rectangle_is_coarse_and_a_polygon_is_not():
    record, _ = _read(_shape(kind="rectangle", points=[[8, 8], [24, 24]]), _shape())
    assert [one.coarse for one in record.instances] == [True, False]


@pytest.mark.parametrize("kind", ["point", "line", "linestrip", "points"])
def test_shape_without_area_is_told_and_leaves_its_label_open(kind):
    record, [problem] = _read(_shape(kind=kind, points=[[1, 1], [5, 5]]), _shape("duck"))
    assert "is no area" in problem.why
    assert (areas(record), record.unsure) == ([("duck", 256)], {"hen"})


def _mask_shape(corner, size=(17, 17)):
    buffer = io.BytesIO()
    Image.fromarray(np.full(size[::-1], 255, dtype=np.uint8)).save(buffer, format="PNG")
    (x, y), (width, height) = corner, size
    points = [[x, y], [x + width - 1, y + height - 1]]
    return _shape(kind="mask", points=points, mask=base64.b64encode(buffer.getvalue()).decode())


@pytest.mark.parametrize(
    ("corner", "box"),
    [
        ((6.5, 7.5), (7, 8, 24, 25)),
        ((7.4999, 7.5001), (7, 8, 24, 25)),
        ((-3, -2), (0, 0, 14, 15)),
        ((60, 40), (60, 40, 64, 48)),
    ],
)
def test_mask_lies_at_the_rounded_corner_and_is_cut_at_the_edge(corner, box):
    record, problems = _read(_mask_shape(corner))
    assert problems == []
    assert rle_box_xyxy(record.instances[0].mask) == box


def test_mask_beyond_the_picture_is_a_problem():
    record, problems = _read(_mask_shape((100, 100)))
    assert (record.instances, len(problems)) == ([], 1)


def test_circle_at_the_edge_is_cut_and_lies_where_it_should():
    record, _ = _read(_shape(kind="circle", points=[[0, 24], [10, 24]]))
    rows, columns = np.nonzero(decode_rle(record.instances[0].mask))
    assert (rows.min(), rows.max(), columns.max()) == (14, 33, 9)


def test_c05_hostile_labelme():
    """imagePath with `..`, an imageData bomb, an unknown shape, a circle with one point: refused a shape at a time."""
    document = _file(
        _shape(kind="hexagon"),
        _shape(kind="circle", points=[[1, 1]]),
        _shape(kind="circle", points=[[1, 1], [10**400, 1]]),
        _shape(kind="rectangle", points=[[1, 1]]),
        _shape(points=[[0, 0], ["1", 2], [3, 3]]),
        _shape("duck"),
        imagePath="../../../../etc/passwd",
        imageData="A" * 1_000_000,
    )
    record, problems = labelme.read(document, size_px=SIZE)
    assert record.file_name == "passwd"
    assert (areas(record), record.unsure, len(problems)) == ([("duck", 256)], {"hen"}, 5)


@pytest.mark.parametrize("path", ["..", "", "a/..", "C:\\"])
def test_c05_path_that_names_no_picture_is_refused(path):
    with pytest.raises(ImportRefusedError, match="names no picture"):
        labelme.read(_file(_shape(), imagePath=path), size_px=SIZE)


def test_c05_wrong_size_leaves_the_masks_out_and_the_labels_open():
    record, [problem] = _read(_shape(), _shape("duck"), imageWidth=640, imageHeight=480, flags={"no goose": True})
    assert "says 640 x 480 px, the image has 64 x 48" in problem.why
    assert (record.instances, record.absent, record.unsure) == ([], [], {"hen", "duck"})


@pytest.mark.parametrize(
    ("points", "taken"),
    [([[4, 40], [20, 40], [20, 60], [4, 60]], True), (SQUARE, False), ([[50, 4], [60, 4], [60, 20]], False)],
    ids=["fits only upright", "fits both ways", "fits only the sensor"],
)
def test_c15_sizes_swapped_by_exif_are_read_where_only_upright_fits(points, taken):
    record, problems = _read(_shape(points=points), imageWidth=64, imageHeight=48, size_px=(48, 64))
    assert bool(record.instances) is taken
    assert taken or "EXIF orientation" in problems[0].why


def test_a_folders_files_judge_the_union_of_their_labels(tmp_path):
    hen = _file(_shape(), imageWidth=64, imageHeight=48)
    duck = _file(_shape("duck"), imagePath="b.jpg", flags={"no goose": True, "blurred": True})
    root = tree(tmp_path, {"train/a.json": hen, "train/b.json": duck, "train/a.jpg": None, "train/b.jpg": None})
    document = only(found_in(root))
    assert document.where == "train/*.json"
    assert [one.name for one in document.categories] == ["duck", "goose", "hen"]
    assert dict(document.counts) == {"hen": 1, "duck": 1}
    assert [(one.file_name, one.split, one.covered) for one in document.images] == [
        ("a.jpg", "train", True),
        ("b.jpg", "train", True),
    ]
    assert records_of(document)[0]["b.jpg"].absent == ["goose"]


def test_folders_are_documents_of_their_own(tmp_path):
    root = tree(tmp_path, {"one/a.json": _file(_shape()), "two/a.json": _file(_shape("duck"))})
    assert [[one.name for one in document.categories] for document in found_in(root).documents] == [["hen"], ["duck"]]


def test_shape_without_a_label_leaves_every_class_open(tmp_path):
    nameless = _file(_shape(None), imagePath="b.jpg")
    document = only(found_in(tree(tmp_path, {"a.json": _file(_shape()), "b.json": nameless})))
    assert [one.name for one in document.categories] == ["hen"]
    assert "hen" in records_of(document)[0]["b.jpg"].unsure


def test_picture_renamed_together_with_its_file_is_found(tmp_path):
    root = tree(tmp_path, {"new name.json": _file(_shape(), imagePath="old.jpg"), "new name.JPG": b"x"})
    assert [one.file_name for one in only(found_in(root)).images] == ["new name.JPG"]


def test_path_is_kept_where_the_picture_lies_in_another_folder(tmp_path):
    document = _file(_shape(), imagePath="..\\images\\cam 1\\a.jpg")
    root = tree(tmp_path, {"labels/a.json": document, "images/cam 1/a.jpg": None, "images/cam 2/a.jpg": None})
    assert [one.file_name for one in only(found_in(root)).images] == ["..\\images\\cam 1\\a.jpg"]


def test_damaged_file_among_good_ones_is_a_problem(tmp_path):
    found = found_in(tree(tmp_path, {"a.json": _file(_shape()), "b.json": '{"shapes": [', "c.json": "[" * 99_999}))
    assert [refused.where for refused in found.refused] == ["b.json", "c.json"]
    assert len(found.documents) == 1


def test_flag_says_that_not_all_objects_are_outlined(tmp_path):
    document = only(
        found_in(tree(tmp_path, {"a.json": _file(_shape(), flags={"not all hen": True, "not all cow": 1})}))
    )
    [record] = records_of(document)[0].values()
    assert (record.incomplete, record.absent) == ({"hen"}, [])
