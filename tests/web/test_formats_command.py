"""`python -m annotator.data.formats`, run as a person would: another process, without a database or settings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from annotator.common.masks import rle_area
from tests.web.format_trees import CASES, SQUARE, found_in, only, records_of, tree

ROOT = Path(__file__).resolve().parent.parent.parent


def _run(*words, cwd=ROOT):
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "annotator.data.formats", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def _report(*words):
    done = _run(*words, "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _yolo(tmp_path):
    files = {"data.yaml": "names: [hen, duck]\n", "images/train/a.jpg": None, "labels/train/a.txt": f"0 {SQUARE}\n"}
    files |= {"images/train/b.jpg": None, "labels/train/b.txt": "1 0.25 0.33333333 0.25 0.33333333\n7 1 1 1 1\n"}
    files |= {"images/train/c.jpg": None, "images/val/d.jpg": None, "labels/val/d.txt": ""}
    return tree(tmp_path / "in", files)


def test_check_tells_kind_classes_counts_and_problems(tmp_path):
    status, report = _report("check", _yolo(tmp_path))
    assert status == 0
    assert report["documents"] == [
        {"where": "data.yaml", "format": "yolo", "images": 4, "classes": {"hen": 1, "duck": 1}}
    ]
    [problem] = report["problems"]
    assert (problem["count"], problem["where"]) == (1, ["images/train/b.jpg, line 2"])


def test_check_of_refused_files_ends_with_1_and_of_nothing_too(tmp_path):
    status, report = _report("check", CASES / "y04-pose-labels")
    assert (status, [row["where"] for row in report["refused"]]) == (1, ["data.yaml"])
    assert _run("check", tree(tmp_path / "empty", {"a.jpg": None})).returncode == 1


def test_what_is_not_there_is_said_on_one_line(tmp_path):
    done = _run("check", tmp_path / "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "no file or folder" in done.stderr


@pytest.mark.parametrize("to", ["coco", "saco", "labelme", "label_studio", "yolo"])
def test_conversion_keeps_every_mask_and_negative_that_the_format_can_carry(tmp_path, to):
    files = {"data.yaml": "names: [hen, duck]\n", "images/train/a.jpg": None, "labels/train/a.txt": f"0 {SQUARE}\n"}
    source = tree(tmp_path / "in", files)
    status, report = _report("convert", source, tmp_path / "out", "--to", to, "--exhaustive")
    assert (status, report["counts"]["instances"], report["counts"]["negatives"]) == (0, 1, 1)
    document = only(found_in(tmp_path / "out"))
    [record] = records_of(document)[0].values()
    assert [(one.category, rle_area(one.mask), one.coarse) for one in record.instances] == [("hen", 256, False)]
    assert to == "yolo" or record.absent == ["duck"]


def test_nothing_is_a_negative_that_nobody_vouched_for(tmp_path):
    _, report = _report("convert", _yolo(tmp_path), tmp_path / "out", "--to", "saco")
    assert report["counts"]["negatives"] == 0
    text = (tmp_path / "out" / "train.json").read_text()
    [pair] = json.loads(text)["images"]
    assert (pair["text_input"], pair["is_instance_exhaustive"]) == ("hen", 0)


def test_boxes_are_left_out_and_counted_unless_they_are_asked_for(tmp_path):
    _, without = _report("convert", _yolo(tmp_path), tmp_path / "one", "--to", "coco")
    _, boxes = _report("convert", _yolo(tmp_path), tmp_path / "two", "--to", "coco", "--boxes")
    assert (without["counts"]["instances"], without["counts"]["boxes_left_out"]) == (1, 1)
    assert (boxes["counts"]["instances"], boxes["counts"].get("boxes_left_out", 0)) == (2, 0)


def test_yolo_leaves_out_what_it_would_make_background_of(tmp_path):
    _, report = _report("convert", _yolo(tmp_path), tmp_path / "out", "--to", "yolo")
    written = sorted(path.name for path in (tmp_path / "out").rglob("*.jpg"))
    assert written == ["a.jpg", "d.jpg"]  # b has an unreadable line, c was not looked at
    assert sum("left out" in row["why"] for row in report["problems"]) == 2


def test_yolo_of_files_that_do_not_vouch_is_refused_with_what_to_say(tmp_path):
    done = _run("convert", CASES / "k04-control-labelme", tmp_path / "out", "--to", "yolo")
    assert done.returncode == 2
    assert "--exhaustive" in done.stderr


def test_folder_that_holds_something_is_not_written_into(tmp_path):
    target = tree(tmp_path / "out", {"mine.txt": "precious"})
    done = _run("convert", CASES / "k04-control-labelme", target, "--to", "coco")
    assert done.returncode == 2
    assert [path.name for path in target.iterdir()] == ["mine.txt"]


def test_only_one_format_is_read_where_it_is_named(tmp_path):
    root = _yolo(tmp_path)
    labelme = {"shapes": [], "imagePath": "a.jpg", "imageWidth": 64, "imageHeight": 48}
    tree(root, {"images/train/a.json": labelme})
    _, report = _report("check", root, "--from", "labelme")
    assert [row["format"] for row in report["documents"]] == ["labelme"]


def test_it_runs_without_django():
    program = "import annotator.data.formats.__main__, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"django", "celery", "torch", "label_studio_sdk"} & set(done.stdout.split()) == set()
