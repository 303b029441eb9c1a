"""`python -m training.cgf1` as people call it: one object of figures, or a sentence that names file and row."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.train.saco_documents import document, found, image, rectangle, truth
from tests.train.test_cgf1_reference import FILES, load
from training.cgf1.__main__ import main

BOX = (2, 2, 10, 10)
SMALL = rectangle(1, 1, 2, 2, (10, 10))


def files(folder: Path, gts: list[Any], predictions: Any) -> list[str]:
    """The arguments that name them."""
    arguments = []
    for number, gt in enumerate(gts):
        path = folder / f"gt{number}.json"
        path.write_text(json.dumps(gt))
        arguments += ["--gt", str(path)]
    (folder / "pred.json").write_text(json.dumps(predictions))
    return [*arguments, "--pred", str(folder / "pred.json")]


def pair_of_each() -> dict[str, Any]:
    return document([image(1), image(2)], [truth(1, BOX)])


def test_the_module_prints_26_figures_and_that_a_gate_could_judge(tmp_path: Path) -> None:
    asked = files(tmp_path, [pair_of_each()], [found(1, BOX)])
    command = [sys.executable, "-m", "training.cgf1", *asked, "--figures-only"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer.pop("gateable") is True
    assert answer.pop("reason") is None
    assert len(answer) == 26
    assert answer["cgF1_eval_segm_cgF1"] == pytest.approx(1.0, abs=1e-3)


def test_all_other_measures_stand_beside_the_figures(tmp_path: Path, capsys) -> None:
    asked = files(tmp_path, [pair_of_each()], [found(1, BOX), found(2, BOX, 0.6)])
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"id": 1, "presence": 0.95}, {"id": 2, "presence": 0.65}]))
    assert main([*asked, "--rows", str(rows)]) == 0
    answer = json.loads(capsys.readouterr().out)
    measures = answer["measures"]
    assert measures["at"]["0.5"]["confusion"] == {"tp": 1, "fp": 1, "fn": 0, "tn": 0}
    assert measures["at"]["0.7"]["confusion"] == {"tp": 1, "fp": 0, "fn": 0, "tn": 1}
    assert measures["figures"]["ap"]["value"] == 1.0
    assert measures["calibration"]["ece"] == pytest.approx((0.05 + 0.65) / 2, abs=1e-6)
    rows.write_text(json.dumps([{"id": 1, "presence": 0.95}]))
    assert main([*asked, "--rows", str(rows)]) == 2
    assert "rows.json has no presence for the pair 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scores", "options", "lowest"),
    [
        ((0.9, 0.32), [], 0.35),
        ((0.9, 0.6), [], 0.5),
        ((), [], 0.5),
        ((0.9, 0.6), ["--keep-score", "0.2"], 0.2),
        ((0.9, 0.32), ["--keep-score", "0.6"], 0.6),
    ],
)
def test_no_point_of_the_curve_lies_below_what_was_kept(
    tmp_path: Path, capsys, scores: tuple[float, ...], options: list[str], lowest: float
) -> None:
    asked = files(tmp_path, [pair_of_each()], [found(pair, BOX, score) for pair, score in enumerate(scores, 1)])
    assert main([*asked, *options]) == 0
    curve = json.loads(capsys.readouterr().out)["measures"]["precision_recall"]
    assert [curve[0]["threshold"], curve[-1]["threshold"]] == [lowest, 0.95]


@pytest.mark.parametrize("given", ["-0.1", "1.5", "nan", "half"])
def test_a_score_that_is_no_share_is_refused(tmp_path: Path, capsys, given: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*files(tmp_path, [pair_of_each()], []), f"--keep-score={given}"])
    assert ended.value.code == 2
    assert "--keep-score" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "words"), [(["--iou-type", "bbox"], "masks"), (["--gt", "gt0.json"], "one --gt")])
def test_where_there_are_no_measures_a_sentence_says_why(
    tmp_path: Path, capsys, options: list[str], words: str
) -> None:
    asked = files(tmp_path, [pair_of_each()], [found(1, BOX)])
    options = [str(tmp_path / one) if one.endswith(".json") else one for one in options]
    assert main([*asked, *options]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["measures"] is None
    assert words in answer["measures_reason"]


def test_a_set_without_negatives_is_judged_and_said_to_be_ungateable(tmp_path: Path, capsys) -> None:
    assert main(files(tmp_path, [document([image(1)], [truth(1, BOX)])], [found(1, BOX)])) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["gateable"], answer["cgF1_eval_segm_cgF1"]) == (False, 0.0)
    assert "1 of the judged pairs are positive and 0 negative" in answer["reason"]


@pytest.mark.parametrize(
    ("gt", "predictions", "words"),
    [
        (
            pair_of_each(),
            [found(1, BOX, category_id=2)],
            r"pred.json: \[0\] has category_id 2, which the document does not",
        ),
        (pair_of_each(), [found(9, BOX)], r"pred.json: \[0\] is of image_id 9, which is no pair"),
        (pair_of_each(), [found(1, BOX, score="high")], "has the score 'high'"),
        (pair_of_each(), [found(1, BOX), {"image_id": 1}], r"pred.json: \[1\] lacks score, category_id, segmentation"),
        (
            pair_of_each(),
            [found(1, BOX, segmentation=SMALL)],
            r"mask of height x width \[10, 10\]",
        ),
        (pair_of_each(), {"annotations": []}, "must be a list of JSON objects"),
        (document([image(1), image(1)], []), [], r"gt0.json: images\[1\] repeats the id 1"),
        (document([image(1)], [truth(1, BOX, category_id=7)]), [], r"annotations\[0\] has category_id 7"),
        (document([{"id": 1, "width": 30, "height": 20}], []), [], r"images\[0\] lacks is_instance_exhaustive"),
        ([], [], "gt0.json needs a list 'images'"),
    ],
)
def test_what_the_official_one_passes_over_is_refused_by_name(
    tmp_path: Path, capsys, gt: Any, predictions: Any, words: str
) -> None:
    assert main(files(tmp_path, [gt], predictions)) == 2
    told = capsys.readouterr()
    assert (told.out, bool(re.search(words, told.err))) == ("", True), told.err


def test_as_official_passes_over_an_unlisted_category(tmp_path: Path, capsys) -> None:
    asked = files(tmp_path, [pair_of_each()], [found(1, BOX), found(2, BOX, category_id=2)])
    assert main(asked) == 2
    capsys.readouterr()
    assert main([*asked, "--as-official"]) == 0
    assert json.loads(capsys.readouterr().out)["cgF1_eval_segm_cgF1"] == pytest.approx(1.0, abs=1e-3)


def test_an_absent_or_broken_file_is_named(tmp_path: Path, capsys) -> None:
    asked = files(tmp_path, [pair_of_each()], [])
    (tmp_path / "gt0.json").write_text("{")
    assert main(asked) == 2
    assert "gt0.json is no JSON" in capsys.readouterr().err
    (tmp_path / "gt0.json").unlink()
    assert main(asked) == 2
    assert "gt0.json cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.skipif(not FILES, reason="the reference cases (../shared/data/cgf1_reference) are not on this machine")
def test_every_recorded_case_is_answered_as_the_official_one_did(tmp_path: Path, capsys) -> None:
    for path in FILES:
        case = load(path)
        gts = case["gts"] if isinstance(case["gts"], list) else [case["gts"]]
        asked = [*files(tmp_path, gts, case["preds"]), "--iou-type", case["iou_type"], "--as-official"]
        status, told = main(asked), capsys.readouterr()
        if case["raises"]:
            assert (status, told.out) == (2, ""), path.stem
            assert told.err.strip(), path.stem
            continue
        answer = json.loads(told.out)
        assert {key: answer[key] for key in case["official"]} == pytest.approx(case["official"], abs=1e-9), path.stem
