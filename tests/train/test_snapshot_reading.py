"""A snapshot is read whole or refused with the file and the row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.snapshots import Snapshot
from training import dataset
from training.errors import Refused

IMAGE = np.full((20, 30, 3), 90, dtype=np.uint8)


def square(x: int, y: int, side: int) -> np.ndarray:
    mask = np.zeros((20, 30), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    made = Snapshot(tmp_path)
    made.add("train", IMAGE, {"chicken": [square(3, 4, 6), square(20, 10, 5)], "duck": []}, source="barn", round=2)
    return made.freeze()


def edited(snapshot: Snapshot, change: Callable[[dict[str, Any]], Any]) -> dataset.Snapshot:
    path = snapshot.folder / "train.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return dataset.Snapshot(snapshot.folder)


def test_positive_and_explicit_negative_are_read(snapshot: Snapshot) -> None:
    chicken, duck = dataset.Snapshot(snapshot.folder).split("train").pairs
    assert (chicken.phrase, chicken.is_positive, chicken.source, chicken.round) == ("chicken", True, "barn", 2)
    assert (duck.phrase, duck.is_positive) == ("duck", False)


def test_box_is_that_of_the_mask(snapshot: Snapshot) -> None:
    first = dataset.Snapshot(snapshot.folder).split("train").pairs[0].instances[0]
    assert first.box_xyxy_norm == pytest.approx((3 / 30, 4 / 20, 9 / 30, 10 / 20))


def test_snapshot_from_before_prompts_is_read_without_any(snapshot: Snapshot) -> None:
    pairs = dataset.Snapshot(snapshot.folder).split("train").pairs
    assert [instance.prompts for pair in pairs for instance in pair.instances] == [(), ()]


def test_pair_that_is_not_exhaustive_and_marks_nothing_is_no_negative(snapshot: Snapshot) -> None:
    changed = edited(snapshot, lambda d: d["images"][1].update(is_instance_exhaustive=0)).split("train")
    assert [pair.phrase for pair in changed.trainable] == ["chicken"]
    assert [pair.is_negative for pair in changed.pairs] == [False, False]
    assert (changed.left_out_not_exhaustive, [pair.phrase for pair in changed.judged]) == (1, ["chicken"])


def test_pair_that_is_not_exhaustive_teaches_what_it_marks_and_judges_nothing(snapshot: Snapshot) -> None:
    changed = edited(snapshot, lambda d: d["images"][0].update(is_instance_exhaustive=0)).split("train")
    assert [pair.phrase for pair in changed.trainable] == ["chicken", "duck"]
    assert [pair.phrase for pair in changed.judged] == ["duck"]


def test_crowd_is_neither_positive_nor_negative_in_training(snapshot: Snapshot) -> None:
    def all_crowd(document: dict[str, Any]) -> None:
        for row in document["annotations"]:
            row["iscrowd"] = 1

    assert [pair.phrase for pair in edited(snapshot, all_crowd).split("train").trainable] == ["duck"]


FAULTS: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    (r"images\[1\].*SHA-256", lambda d: d["images"][1].update(file_name="../../etc/passwd")),
    (r"images\[0\].*text_input", lambda d: d["images"][0].update(text_input=" ")),
    (r"images\[0\].*width", lambda d: d["images"][0].update(width="30")),
    (r"images\[0\].*height", lambda d: d["images"][0].update(height=0)),
    (r"images\[1\].*repeats", lambda d: d["images"][1].update(text_input="chicken")),
    (r"images\[1\].*repeats", lambda d: d["images"][1].update(id=d["images"][0]["id"])),
    (r"images\[0\].*is_instance_exhaustive", lambda d: d["images"][0].pop("is_instance_exhaustive")),
    (r"images\[0\].*round", lambda d: d["images"][0].update(round="first")),
    (r"annotations\[1\].*image_id", lambda d: d["annotations"][1].update(image_id=999)),
    (r"annotations\[0\].*category_id", lambda d: d["annotations"][0].update(category_id=0)),
    (r"annotations\[0\].*iscrowd", lambda d: d["annotations"][0].pop("iscrowd")),
    (r"annotations\[1\].*normalised", lambda d: d["annotations"][1].update(bbox=[20, 10, 5, 5])),
    (r"annotations\[1\].*bbox", lambda d: d["annotations"][1].update(bbox=[0.1, 0.1, 0.1])),
    (r"annotations\[0\].*\[20, 30\]", lambda d: d["annotations"][0]["segmentation"].update(size=[30, 20])),
    (r"annotations\[1\].*broken mask", lambda d: d["annotations"][1]["segmentation"].update(counts="0000")),
    (r"annotations\[0\].*RLE", lambda d: d["annotations"][0].update(segmentation=[[0, 0, 5, 0, 5, 5]])),
    (r"annotations\[1\].*empty mask", lambda d: d["annotations"][1]["segmentation"].update(counts="hb0")),
    (r"annotations repeats an id", lambda d: d["annotations"][1].update(id=d["annotations"][0]["id"])),
    (r"annotations\[0\].*list of points", lambda d: d["annotations"][0].update(prompts={"x": 1})),
    (r"annotations\[0\].*label", lambda d: d["annotations"][0].update(prompts=[{"x": 1, "y": 2, "label": 3}])),
    (r"annotations\[1\].*no box", lambda d: d["annotations"][1].update(prompts=[{"box": [0, 0, 31, 5]}])),
    (r"annotations\[1\].*holds nothing", lambda d: d["annotations"][1].update(prompts=[{"box": [5, 0, 5, 5]}])),
    (r"categories", lambda d: d.update(categories=[])),
    (r"images must be a list", lambda d: d.pop("images")),
]


@pytest.mark.parametrize(("words", "change"), FAULTS, ids=[words for words, _ in FAULTS])
def test_malformed_snapshot_is_refused_by_file_and_row(
    snapshot: Snapshot, words: str, change: Callable[[dict[str, Any]], Any]
) -> None:
    with pytest.raises(Refused, match=rf"train\.json: {words}"):
        edited(snapshot, change).split("train")


@pytest.mark.parametrize("text", ["", "[1, 2", "[]", "[" * 100_000, "\ufeff{}", "NaN"])
def test_document_that_is_no_json_object_is_refused(snapshot: Snapshot, text: str) -> None:
    (snapshot.folder / "val.json").write_text(text)
    with pytest.raises(Refused, match=r"val\.json"):
        dataset.Snapshot(snapshot.folder).split("val")


def test_absent_folder_and_absent_split_are_refused(snapshot: Snapshot, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no snapshot folder"):
        dataset.Snapshot(tmp_path / "nowhere")
    (snapshot.folder / "val.json").unlink()
    with pytest.raises(Refused, match=r"val\.json is missing"):
        dataset.Snapshot(snapshot.folder).split("val")


def test_document_changed_after_freezing_is_refused(snapshot: Snapshot) -> None:
    path = snapshot.folder / "manifest.json"
    files = {name: hashlib.sha256((snapshot.folder / name).read_bytes()).hexdigest() for name in ("train.json",)}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": files}))
    assert dataset.Snapshot(snapshot.folder).split("train").pairs
    with pytest.raises(Refused, match="changed after it was frozen"):
        edited(snapshot, lambda d: d["images"][0].update(round=3)).split("train")


def test_hash_is_the_makers_or_else_follows_the_content(snapshot: Snapshot) -> None:
    declared = json.loads((snapshot.folder / "manifest.json").read_text())["content_hash"]
    assert dataset.Snapshot(snapshot.folder).hash == declared
    (snapshot.folder / "manifest.json").unlink()
    own = dataset.Snapshot(snapshot.folder).hash
    assert edited(snapshot, lambda d: d["images"][0].update(round=3)).hash != own
