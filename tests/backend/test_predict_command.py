"""`python -m mlbackend predict`: a folder of pictures to SA-Co predictions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pycocotools import mask as coco

from mlbackend.__main__ import main
from tests.backend.support import REPOSITORY, noisy_picture, png_bytes


def run(var: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "ROOST_VAR": str(var),
        "ROOST_DEFAULT_MODEL": "tiny",
        "PYTHONPATH": str(REPOSITORY),
        "ROOST_ENCODE_BATCH": "2",
    }
    return subprocess.run(
        [sys.executable, "-m", "mlbackend", "predict", *arguments],
        env=env,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def labelled(backend_var: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "deep").mkdir()
    (folder / "a.png").write_bytes(png_bytes(noisy_picture(1)))
    (folder / "deep" / "b.png").write_bytes(png_bytes(noisy_picture(2, width=97, height=211)))
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not a picture at all")
    done = run(backend_var, str(folder), "--out", str(folder / "out"), "--concepts", "chicken,duck", "--threshold", "0")
    assert done.returncode == 0, done.stderr
    assert "1 pictures were refused" in done.stderr
    return folder / "out"


def test_every_picture_and_concept_is_a_pair(labelled: Path) -> None:
    pairs = json.loads((labelled / "pairs.json").read_text())["images"]
    assert [(pair["file_name"], pair["text_input"]) for pair in pairs] == [
        ("a.png", "chicken"),
        ("a.png", "duck"),
        ("deep/b.png", "chicken"),
        ("deep/b.png", "duck"),
    ]
    assert [pair["id"] for pair in pairs] == [1, 2, 3, 4]


def test_predictions_are_coco_results_of_the_pictures_size(labelled: Path) -> None:
    pairs = {pair["id"]: pair for pair in json.loads((labelled / "pairs.json").read_text())["images"]}
    predictions = json.loads((labelled / "predictions.json").read_text())
    assert {row["image_id"] for row in predictions} == set(pairs)
    for row in predictions:
        pair = pairs[row["image_id"]]
        assert coco.decode(row["segmentation"]).shape == (pair["height"], pair["width"])
        assert coco.toBbox(row["segmentation"]).tolist() == row["bbox"]


def test_refused_picture_is_reported_with_the_reason(labelled: Path) -> None:
    report = json.loads((labelled / "report.json").read_text())
    assert [row["file"] for row in report["refused"]] == ["broken.jpg"]
    assert "none of JPEG" in report["refused"][0]["reason"]
    assert len(report["weights_hash"]) == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--concepts", "chicken", "--version", "absent"], "there is no model version 'absent'"),
        (["--concepts", "a" * 40], "needs 42 tokens"),
        ([], "name what to look for"),
        (["--concepts", "chicken", "--threshold", "nan"], "between 0 and 1"),
        (["--concepts", "chicken"], "holds no picture"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_written(
    backend_var: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ROOST_VAR", str(backend_var))
    monkeypatch.setenv("ROOST_DEFAULT_MODEL", "tiny")
    assert main(["predict", str(tmp_path), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
