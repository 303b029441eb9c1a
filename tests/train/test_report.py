"""`python -m training report`: a page, JSON and plots from an evaluation's folder, and refusals that name the file."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.made_evaluations import (
    FIRE_SCORES,
    made_evaluation,
    made_gate,
    made_measures,
    made_run,
    made_snapshot,
    square,
)
from training import masks
from training.__main__ import perform
from training.measures import measured
from training.reporting.figures import figure_rows

ECONOMICS = {
    "currency": "EUR",
    "person_hour_price": 36.0,
    "rounds": [
        {"round": 0, "answers": 40, "images": 20, "instances": 50, "seconds": 1000.0},
        {"round": 1, "answers": 80, "images": 40, "instances": 100, "seconds": 1200.0},
        {"round": 2, "answers": 3, "images": 2, "instances": 4, "seconds": 10.0},
    ],
    "training": {"seconds": 7200.0, "amount": 3.08},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("world")
    snapshot = made_snapshot(root)
    (root / "economics.json").write_text(json.dumps(ECONOMICS))
    return {
        "snapshot": str(snapshot.folder),
        "images": str(snapshot.images),
        "evaluation": str(made_evaluation(root / "evaluation", snapshot)),
        "run": str(made_run(root / "run")),
        "gate": str(made_gate(root / "gate")),
        "role": "challenger",
        "economics": str(root / "economics.json"),
        "model": "barn-v3",
        "nice": 0,
        "made": snapshot,
    }


def reported(out: Path, world: dict[str, Any], **keys: Any) -> tuple[int, list[dict[str, Any]]]:
    out.mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in (world | keys).items() if key != "made" and value is not None}
    (out / "asked.json").write_text(json.dumps(config))
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = perform(["report", "--config", str(out / "asked.json"), "--out", str(out)])
    return status, [json.loads(line) for line in said.getvalue().splitlines()]


@pytest.fixture(scope="module")
def made(world: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    status, events = reported(out, world)
    assert (status, events[-1]["event"]) == (0, "done"), events[-1]
    assert all((out / name).is_file() for name in events[-1]["manifest"]["files"])
    return out


@pytest.fixture(scope="module")
def told(made: Path) -> dict[str, Any]:
    return json.loads((made / "report.json").read_text())


def test_the_worked_case_is_told_with_counts_where_pairs_are_few(told: dict[str, Any]):
    cells = {row["label"]: row["cells"][2] for row in told["at"]["rows"]}
    assert cells["Precision"] == "6 of 11"
    assert cells["Recall"] == "6 of 6"
    assert cells["Specificity"] == "10 of 15"
    assert cells["Accuracy"] == "16 of 21"
    assert cells["F1"] == "70.6 [45.0, 90.0]"
    confusion = next(chart for chart in told["charts"] if chart["name"] == "confusion")
    assert confusion["rows"][2] == ["0.9", 6, 0, 5, 10]


def test_a_perfect_concept_without_negatives_is_not_judged_and_never_0(made: Path, told: dict[str, Any]):
    (table,) = [group for group in told["groups"] if group["title"] == "Concept"]
    figures = {row["name"]: row["figures"] for row in table["rows"]}
    assert figures["<b>pail</b>"]["cgf1"]["told"] == "not judged: no negatives"
    assert figures["<b>pail</b>"]["cgf1"]["value"] is None
    assert figures["<b>pail</b>"]["pmf1"]["told"] == "100.0 [50.0, 100.0]"
    assert figures["chicken"]["cgf1"]["told"] == "45.0 [30.0, 60.0]"
    page = (made / "report.html").read_text()
    assert "not judged: no negatives" in page
    assert "<b>pail</b>" not in page  # a concept's name is no markup


def test_what_was_promoted_is_told_with_what_selection_does_to_its_gain(told: dict[str, Any]):
    assert "+4.0 points [+2.3, +5.9]" in told["summary"]["gain"]
    assert "selection inflates it" in told["summary"]["gain"]
    assert told["summary"]["verdict"].startswith(
        "The gate passed it. Not for unattended use yet: it finds 6 of 6 positives"
    )


def test_gallery_has_false_alarms_first_the_surest_on_top_then_the_missed(told: dict[str, Any]):
    worst = told["faults"]["worst"]
    assert told["faults"]["count"] == 6
    assert told["faults"]["kinds"] == {"false_alarm": 5, "missed": 1}
    assert [one["kind"] for one in worst] == ["false_alarm"] * 5 + ["missed"]
    assert [one["found"][0]["score"] for one in worst[:5]] == sorted(FIRE_SCORES, reverse=True)
    beside = worst[-1]
    assert ([one["kind"] for one in beside["found"]], len(beside["truth"]), len(beside["missed"])) == (["false"], 1, 1)


def test_page_stands_alone_and_runs_nothing(made: Path):
    page = (made / "report.html").read_text()
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", page)
    assert not re.findall(r"url\((?!#)", page)  # matplotlib's clip paths refer within the file
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert page.count("data:image/jpeg;base64,") == 12  # truth and prediction of six pairs
    assert "@media print" in page
    assert "size: A4" in page
    assert "prefers-color-scheme" in page or "light-dark(" in page
    assert "/secret" not in page


def test_plots_are_at_print_size_and_every_chart_has_a_table(made: Path, told: dict[str, Any]):
    names = [chart["name"] for chart in told["charts"]]
    assert {"loss", "validation", "metrics", "confusion", "scores", "precision_recall", "presence"} <= set(names)
    assert {"calibration", "data_splits", "data_concepts", "data_truths", "data_sizes", "economics"} <= set(names)
    for chart in told["charts"]:
        with Image.open(made / "plots" / f"{chart['name']}.png") as picture:
            assert [round(side) for side in picture.info["dpi"]] == [300, 300]
            assert picture.width == 1890  # 6.3 inches
        assert (made / "plots" / f"{chart['name']}.svg").read_text().lstrip().startswith("<?xml")
        assert chart["rows"]
        assert all(len(row) == len(chart["columns"]) for row in chart["rows"])


def test_a_run_that_went_on_counts_what_it_told_later(told: dict[str, Any]):
    loss = next(chart for chart in told["charts"] if chart["name"] == "loss")
    assert next((one["name"], one["x"], one["y"]) for one in loss["series"]) == ("total", [5, 10], [6.0, 4.0])
    assert told["settings"] == {"seed": 3}  # what differs from the defaults, and no path


def test_economics_are_seconds_and_money_an_object_and_what_a_round_saved(told: dict[str, Any]):
    rounds = told["economics"]["rounds"]
    assert [row["seconds_an_instance"] for row in rounds] == [20.0, 12.0, None]  # four objects tell no pace
    assert [row["seconds_an_image"] for row in rounds] == [50.0, 30.0, None]
    assert [row["cost_an_instance"] for row in rounds] == [0.2, 0.12, None]  # 36 EUR an hour is one cent a second
    assert [row["saved_seconds"] for row in rounds] == [0.0, 800.0, None]
    assert told["economics"]["training_an_instance"] == pytest.approx(0.02)  # 3.08 EUR for 154


def test_data_is_counted_by_split(told: dict[str, Any]):
    rows = {row["split"]: row for row in told["data"]}
    assert (rows["holdout"]["positives"], rows["holdout"]["negatives"], rows["holdout"]["instances"]) == (6, 15, 6)
    assert (rows["train"]["positives"], rows["train"]["negatives"]) == (1, 1)


def test_without_run_gate_economics_and_images_there_is_a_report_all_the_same(world: dict[str, Any], tmp_path: Path):
    status, events = reported(tmp_path, world, run=None, gate=None, role=None, economics=None, images=None)
    assert status == 0, events[-1]
    page = (tmp_path / "report.html").read_text()
    assert "data:image" not in page
    assert "selection inflates" not in page


def test_same_files_make_the_same_report(world: dict[str, Any], made: Path, tmp_path: Path):
    assert reported(tmp_path, world)[0] == 0
    for name in ("report.json", "report.html", "plots/metrics.svg"):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes(), name


def test_it_is_made_of_what_the_measures_are_today(world: dict[str, Any], tmp_path: Path):
    """21 pairs, 6 positives of which one is found beside where it is: the product's own measures, not made-up ones."""
    document = world["made"].documents["holdout"]
    folder = made_evaluation(tmp_path / "evaluation", world["made"])
    rows, predictions = (json.loads((folder / f"{name}.json").read_text()) for name in ("rows", "predictions"))
    boxes = {"image_id": 0, "bbox": [0, 0, 1, 1]}
    predictions = [boxes | row | {"bbox": masks.box_xywh(row["segmentation"])} for row in predictions]
    measures = measured(document, predictions, presence={row["id"]: row["presence"] for row in rows})
    (folder / "measures.json").write_text(json.dumps(measures))
    status, events = reported(tmp_path / "out", world, evaluation=str(folder), images=None)
    assert status == 0, events[-1]
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    figures = {row["name"]: row["told"] for row in told["figures"]}
    assert figures["il_recall"] == "6 of 6"
    assert figures["il_fpr"] == "5 of 15"
    (of_size,) = [group for group in told["groups"] if group["title"] == "Size of the object"]
    assert of_size["rows"][0]["figures"]["recall"]["told"] == "5 of 6"  # small ones
    assert of_size["rows"][1]["figures"]["ap"]["told"].startswith("not judged: ")
    assert len(told["advice"]) >= 4


def test_a_set_that_holds_no_positive_has_a_report_all_the_same(world: dict[str, Any], tmp_path: Path):
    """21 negatives of which one fires: no recall at any threshold."""
    document = world["made"].documents["holdout"] | {"annotations": []}
    rle = masks.encode_mask(square())
    fired = {"image_id": document["images"][0]["id"], "category_id": 1, "score": 0.9, "segmentation": rle}
    measures = measured(document, [fired | {"bbox": masks.box_xywh(rle)}])
    folder = made_evaluation(tmp_path / "evaluation", world["made"], measures)
    status, events = reported(tmp_path / "out", world, evaluation=str(folder), images=None, run=None)
    assert status == 0, events[-1]
    charts = {chart["name"]: chart for chart in json.loads((tmp_path / "out" / "report.json").read_text())["charts"]}
    assert charts["precision_recall"]["rows"][0] == ["0.10", "0.0", "not judged", "0.0"]
    assert charts["precision_recall"]["series"][0]["x"] == []


def _without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def _cut(folder: Path, name: str) -> None:
    (folder / name).write_text((folder / name).read_text()[:-20])


def _lacking(folder: Path, name: str) -> None:
    content = json.loads((folder / name).read_text())
    del (content[0] if isinstance(content, list) else content)["presence" if name != "predictions.json" else "score"]
    (folder / name).write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["measures.json", "rows.json", "predictions.json"])
@pytest.mark.parametrize(("harm", "words"), [(_without, "missing"), (_cut, "JSON"), (_lacking, "lacks")])
def test_missing_and_broken_files_are_refused_by_name(
    world: dict[str, Any], tmp_path: Path, name: str, harm, words: str
):
    folder = made_evaluation(tmp_path / "evaluation", world["made"])
    harm(folder, name)
    status, events = reported(tmp_path / "out", world, evaluation=str(folder))
    assert (status, events[-1]["event"]) == (2, "error")
    assert name in events[-1]["message"]
    assert words in events[-1]["message"]
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"evaluation": "/nowhere"}, "there is no folder /nowhere"),
        ({"evalution": "x"}, "Did you mean 'evaluation'?"),
        ({"split": "hold"}, "The key 'split' is one of"),
        ({"role": "winner"}, "The key 'role' is one of"),
        ({"worst": 1000}, "between 0 and 500"),
        ({"gate": None}, "give the gate's folder"),
        ({"policy": {"recall_floor": 2}}, "recall_floor must lie between 0 and 1"),
        ({"policy": {"floor": 0.5}}, "The policy has no key 'floor'"),
        ({"policy": {"recall_floor": "high"}}, "recall_floor must be a number or null, not 'high'"),
        ({"policy": [1]}, "The key 'policy' is a table of"),
    ],
)
def test_a_wrong_config_is_refused_and_names_the_key(world: dict[str, Any], tmp_path: Path, keys, words: str):
    status, events = reported(tmp_path, world, **keys)
    assert status == 2
    assert words in events[-1]["message"]


def test_rows_of_another_snapshot_are_refused(world: dict[str, Any], tmp_path: Path):
    rows = json.loads((Path(world["evaluation"]) / "rows.json").read_text())
    folder = made_evaluation(tmp_path / "evaluation", world["made"])
    rows[3]["image"] = "0" * 64
    (folder / "rows.json").write_text(json.dumps(rows))
    status, events = reported(tmp_path / "out", world, evaluation=str(folder))
    assert (status, events[-1]["code"]) == (2, "other_snapshot")


def test_economics_that_are_no_numbers_are_refused(world: dict[str, Any], tmp_path: Path):
    wrong = {**ECONOMICS, "rounds": [{**ECONOMICS["rounds"][0], "seconds": "many"}]}
    (tmp_path / "economics.json").write_text(json.dumps(wrong))
    status, events = reported(tmp_path / "out", world, economics=str(tmp_path / "economics.json"))
    assert status == 2
    assert "'seconds' of round 0, it has 'many'" in events[-1]["message"]


def test_figures_that_nobody_could_judge_are_told_with_the_measures_own_reason():
    measures = made_measures()
    measures["figures"]["ap_small"] = {"value": None, "n": 0, "low": None, "high": None}
    measures["undefined"] = {"ap_small": "No object is that small."}
    row = next(row for row in figure_rows(measures) if row["name"] == "ap_small")
    assert row["told"] == "not judged: no object is that small"
