"""YOLO trees as tools write them. Names with y, k, c are those of the cases they began from."""

import pytest

from annotator.common.errors import ImportRefusedError
from annotator.common.masks import rle_box_xyxy
from annotator.data.formats import yolo
from annotator.data.formats.yolo_names import data_file_read
from tests.web.format_trees import CASES, SQUARE, areas, found_in, only, records_of, tree

NAMES = "names: [hen, duck]\n"


def _with_names(tmp_path, case, names="names: [hen, duck]\n"):
    files = {path.name: path.read_bytes() for path in (CASES / case).iterdir()}
    return tree(tmp_path, {"data.yaml": names} | files)


def _splits(root):
    return {one.file_name: (one.split, one.covered) for one in only(found_in(root)).images}


def test_y01_names_begin_at_one(tmp_path):
    names = (CASES / "y01-names-begin-at-one/data.yaml").read_text()
    assert yolo.read_names(names) == {1: "hen", 2: "duck"}
    root = tree(tmp_path, {"data.yaml": names, "a.jpg": None, "a.txt": f"1 {SQUARE}\n0 {SQUARE}\n"})
    records, why = records_of(only(found_in(root)))
    assert areas(records["a.jpg"]) == [("hen", 256)]
    assert records["a.jpg"].unsure == {"hen", "duck"}
    assert any("begin at 1" in one for one in why)
    assert any("'0' is no class" in one for one in why)


def test_y02_names_as_numbers_and_text_keys():
    text = (CASES / "y02-names-as-numbers-and-text-keys/data.yaml").read_text()
    assert yolo.read_names(text) == ["hen", "7"]


def test_y03_class_written_as_float(tmp_path):
    records, why = records_of(only(found_in(_with_names(tmp_path, "y03-class-written-as-float"))))
    assert (areas(records["a.jpg"]), why) == ([("hen", 256)], [])


def test_y04_pose_labels():
    found = found_in(CASES / "y04-pose-labels")
    assert found.documents == []
    [refused] = found.refused
    assert "pose labels (3 x 2)" in refused.why
    assert found.used == {"a.txt", "data.yaml"}


def test_k05_control_yolo(tmp_path):
    records, why = records_of(only(found_in(_with_names(tmp_path, "k05-control-yolo"))))
    assert (areas(records["a.jpg"]), why) == ([("hen", 256), ("duck", 256)], [])


def test_pose_labels_are_known_by_their_visibilities_where_the_data_file_does_not_say(tmp_path):
    rows = "".join(f"0 0.5 0.5 0.4 0.4 0.{n} 0.4 2 0.5 0.6 1 0.4 0.6 0\n" for n in range(3, 7))
    found = found_in(tree(tmp_path, {"data.yaml": NAMES, "a.jpg": None, "a.txt": rows}))
    assert "pose" in found.refused[0].why
    assert found.documents == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"2 {SQUARE}", "is no class"),
        (f"-1 {SQUARE}", "is no class"),
        (f"0.5 {SQUARE}", "is no class"),
        (f"hen {SQUARE}", "is no class"),
        (f"nan {SQUARE}", "is no class"),
        (f"1e400 {SQUARE}", "is no class"),
        ("0 0,5 0,5 0,2 0,2", "decimals"),
        ("0 0.5 0.5 -0.2 0.2", "from 0 to 1"),
        ("0 0.5 0.5 0 0.2", "no pixel"),
        ("0 32 24 16 16", "from 0 to 1"),
        ("0 inf 0.5 0.2 0.2", "from 0 to 1"),
        ("0 0.5 0.5 0.2", "three points"),
        ("0", "three points"),
        ("0 0.1 0.1 0.5 0.1 0.5", "three points"),
        ("0 0.1 0.1 0.5 0.1 0.5 0.5 0.9", "three points"),
    ],
)
def test_c06_bad_line_is_told_and_leaves_its_class_open(tmp_path, line, why):
    root = tree(tmp_path, {"data.yaml": NAMES, "a.jpg": None, "a.txt": f"1 {SQUARE}\r\n{line}\r\n"})
    records, told = records_of(only(found_in(root)))
    assert areas(records["a.jpg"]) == [("duck", 256)]
    assert "hen" in records["a.jpg"].unsure
    assert [why in one for one in told] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "names: !!python/object/apply:os.system ['touch TRAP']",
        "names: [hen]\nx: !!python/object/new:os.system ['touch TRAP']",
        "names: [hen]\nnames2: !!python/name:os.system",
    ],
)
def test_c06_data_file_runs_no_code(tmp_path, text):
    root = tree(tmp_path / "in", {"data.yaml": text.replace("TRAP", f"{tmp_path}/trap"), "a.jpg": None})
    found = found_in(root)
    assert "plain YAML" in found.refused[0].why
    assert not (tmp_path / "trap").exists()


def test_c06_data_file_that_multiplies_itself_is_read_in_a_moment():
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(ImportRefusedError, match="must list the classes' names"):
        data_file_read(bomb + "names: *i\n")


def test_c06_absolute_path_leads_nowhere_but_to_the_files_beside(tmp_path):
    data = "path: /etc\ntrain: /home/somebody/ds/images/train\nval: /etc/passwd.txt\n" + NAMES
    root = tree(tmp_path, {"data.yaml": data, "images/train/a.jpg": None, "labels/train/a.txt": f"0 {SQUARE}"})
    document = only(found_in(root))
    assert [(one.file_name, one.split) for one in document.images] == [("images/train/a.jpg", "train")]
    assert "val: /etc/passwd.txt is not among the files." in [problem.why for problem in document.problems]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: {0: hen, 1: duck}", ["hen", "duck"]),
        ("names:\n  1: duck\n  0: hen\n", ["hen", "duck"]),
        ("names: [yes, no, 1e3, 007, ~, 2024-01-01]", ["yes", "no", "1e3", "007", "~", "2024-01-01"]),
        ("names: {0: hen, 5: duck}", {0: "hen", 5: "duck"}),
        ("nc: 1\nnames: ['hen']\nroboflow:\n  version: 3\n", ["hen"]),
        ("# made by\nnames:\n- Hühner & Co.\n", ["Hühner & Co."]),
    ],
)
def test_names_are_taken_as_they_are_written(text, names):
    assert yolo.read_names(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "nc: 2\ntrain: x",
        "names: 5",
        "names: []",
        "names: {a: hen}",
        "names: {0: hen, '0': duck}",
        "names: [[hen]]",
        "[",
    ],
)
def test_data_file_without_names_that_can_be_told_is_refused(text):
    with pytest.raises(ImportRefusedError, match=r"data\.yaml is no YOLO data file"):
        yolo.read_names(text)


def test_another_number_of_classes_is_told():
    assert "nc says 3 classes, names lists 2" in data_file_read("nc: 3\n" + NAMES).problems[0].why


def test_boxes_become_coarse_masks(tmp_path):
    root = tree(tmp_path, {"data.yaml": NAMES, "a.jpg": None, "a.txt": "1 0.25 0.33333333 0.25 0.33333333\n"})
    records, why = records_of(only(found_in(root)))
    [instance] = records["a.jpg"].instances
    assert (instance.category, instance.coarse, rle_box_xyxy(instance.mask), why) == ("duck", True, (8, 8, 24, 24), [])


def test_empty_label_file_was_looked_at_and_a_missing_one_was_not(tmp_path):
    files = {"data.yaml": NAMES, "images/a.jpg": None, "images/b.jpg": None, "images/c.jpg": None}
    root = tree(tmp_path, files | {"labels/a.txt": f"0 {SQUARE}", "labels/b.txt": ""})
    assert {name: covered for name, (_, covered) in _splits(root).items()} == {
        "images/a.jpg": True,
        "images/b.jpg": True,
        "images/c.jpg": False,
    }


ROBOFLOW = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['hen', 'duck']\n"
ULTRALYTICS = "path: ../datasets/ds\ntrain: images/train\nval: images/val\ntest: # none\nnames: {0: hen, 1: duck}\n"
LISTS = "path: .\ntrain: train.txt\nval: val.txt\nnames: {0: hen, 1: duck}\n"
MANY = "train: [images/one, images/two]\nval: images/three\n" + NAMES


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (
            {"data.yaml": ROBOFLOW, "train/images/a.jpg": None, "train/labels/a.txt": "", "valid/images/b.jpg": None}
            | {"valid/labels/b.txt": "", "README.roboflow.txt": "Made by people", "README.dataset.txt": "1 2 3"},
            {"train/images/a.jpg": "train", "valid/images/b.jpg": "val"},
        ),
        (
            {"ds.yaml": ULTRALYTICS, "images/train/a.jpg": None, "labels/train/a.txt": "", "images/val/b.jpg": None}
            | {"labels/val/b.txt": ""},
            {"images/train/a.jpg": "train", "images/val/b.jpg": "val"},
        ),
        (
            {"data.yaml": LISTS, "train.txt": "./images/x/a.jpg\n", "val.txt": "C:\\ds\\images\\x\\b.jpg\n"}
            | {"images/x/a.jpg": None, "images/x/b.jpg": None, "labels/x/a.txt": "", "labels/x/b.txt": ""},
            {"images/x/a.jpg": "train", "images/x/b.jpg": "val"},
        ),
        (
            {"data.yaml": MANY}
            | {f"images/{n}/a.jpg": None for n in ("one", "two", "three")}
            | {f"labels/{n}/a.txt": "" for n in ("one", "two", "three")},
            {"images/one/a.jpg": "train", "images/two/a.jpg": "train", "images/three/a.jpg": "val"},
        ),
        (
            {"obj.data": "classes = 2\nnames = data/obj.names\n", "obj.names": "hen\nduck\n"}
            | {"train.txt": "data/obj_train_data/a.jpg\n", "obj_train_data/a.jpg": None, "obj_train_data/a.txt": ""},
            {"obj_train_data/a.jpg": "train"},
        ),
        (
            {"classes.txt": "hen\nduck\n", "notes.json": {"categories": [{"id": 0, "name": "hen"}], "info": {}}}
            | {"images/a.jpg": None, "labels/a.txt": ""},
            {"images/a.jpg": None},
        ),
        (
            {"images/train/a.jpg": None, "labels/train/a.txt": "", "labels/train/classes.txt": "hen\nduck"}
            | {"data.yaml": NAMES},
            {"images/train/a.jpg": "train"},
        ),
    ],
    ids=["roboflow", "ultralytics", "lists", "many folders", "cvat", "label studio", "labelimg"],
)
def test_trees_of_other_tools_are_one_document(tmp_path, files, splits):
    document = only(found_in(tree(tmp_path, files)))
    assert {one.file_name: one.split for one in document.images} == splits
    assert [one.name for one in document.categories] == ["hen", "duck"]
    assert [problem.why for problem in document.problems if "test" not in problem.why] == []


def test_two_trees_keep_their_own_names(tmp_path):
    files = {"one/data.yaml": NAMES, "one/images/a.jpg": None, "one/labels/a.txt": f"0 {SQUARE}"}
    files |= {"two/data.yaml": "names: [goose]", "two/images/a.jpg": None, "two/labels/a.txt": f"0 {SQUARE}"}
    found = found_in(tree(tmp_path, files))
    assert [dict(document.counts) for document in found.documents] == [{"hen": 1}, {"goose": 1}]


def test_labels_without_names_are_refused_in_one_sentence(tmp_path):
    files = {f"images/{n}.jpg": None for n in range(3)} | {f"labels/{n}.txt": f"0 {SQUARE}" for n in range(3)}
    [refused] = found_in(tree(tmp_path, files)).refused
    assert "without their classes' names" in refused.why
    assert "3 label files" in refused.why


def test_captions_beside_pictures_are_no_labels(tmp_path):
    found = found_in(tree(tmp_path, {"a.jpg": None, "a.txt": "a hen on a roof, golden hour"}))
    assert (found.documents, found.refused) == ([], [])


def test_labels_whose_pictures_are_not_in_the_source_are_listed_without_an_ending(tmp_path):
    root = tree(tmp_path, {"data.yaml": NAMES, "labels/train/a.txt": f"0 {SQUARE}"})
    assert _splits(root) == {"images/train/a": ("train", True)}


def test_label_file_that_is_no_text_is_a_problem_and_its_picture_was_not_looked_at(tmp_path):
    root = tree(tmp_path, {"data.yaml": NAMES, "a.jpg": None, "a.txt": b"\xff\xfe0\x00", "b.jpg": None, "b.txt": ""})
    document = only(found_in(root))
    assert {one.file_name: one.covered for one in document.images} == {"a.jpg": False, "b.jpg": True}
    assert "not UTF-8" in document.problems[0].why
