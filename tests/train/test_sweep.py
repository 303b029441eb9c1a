"""A sweep's file, what it refuses, and what it concludes; its processes are tested in test_sweep_runs.py."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from tests.processes import ROOT
from toolbox.gate_policy import Policy
from toolbox.training_effects import idle_of_run, resolved, set_by
from toolbox.training_settings import SETTABLE
from training.config import read_config
from training.errors import Refused
from training.gate import Asked, Judged, decide
from training.sweep.asked import Sweep, read_sweep
from training.sweep.pages import as_csv, as_markdown, retrain_command, write_pages
from training.sweep.plot import gain_plot
from training.sweep.results import JudgedModel, Outcome, Results, judged_model, retrain_settings

BASE = {"snapshot": "snapshot", "images": "images", "base_model": "model", "steps": 40}
GRID = {"learning_rate": [1e-4, 1e-3], "text_rate": [0, 0.3]}
POSITIVES = NEGATIVES = 30


def asked(folder: Path, *overrides: str, base: Any = BASE, are_many_meant: bool = False, **keys: Any) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"base": base, **keys}))
    return read_sweep(path, overrides, are_many_meant=are_many_meant)


def test_grid_is_every_combination_with_every_seed(tmp_path: Path) -> None:
    sweep = asked(tmp_path, grid=GRID, seeds=[5, 7])
    found = [(run.config.learning_rate, run.config.text_rate, run.config.seed) for run in sweep.runs]
    rates = [(1e-4, 0.0), (1e-4, 0.3), (1e-3, 0.0), (1e-3, 0.3)]
    assert found == [(*pair, seed) for pair in rates for seed in (5, 7)]
    assert len({run.name for run in sweep.runs}) == 8
    assert sweep.runs[0].name == "learning_rate-0.0001_text_rate-0.0_seed-5"


def test_rate_that_yaml_reads_as_text_is_the_number(tmp_path: Path) -> None:
    """YAML takes 1e-4 for text, since it has no point."""
    (tmp_path / "sweep.yaml").write_text(f"base: {json.dumps(BASE)}\ngrid:\n  learning_rate: [1e-4, 3e-4]\n")
    sweep = read_sweep(tmp_path / "sweep.yaml")
    assert [point.values for point in sweep.points] == [{"learning_rate": 0.0001}, {"learning_rate": 0.0003}]


def test_list_may_differ_in_other_keys_entry_by_entry(tmp_path: Path) -> None:
    sweep = asked(tmp_path, list=[{"recipe": "sam3_heads"}, {"loss": "public", "steps": 80}])
    assert [point.values for point in sweep.points] == [
        {"recipe": "sam3_heads", "loss": "public", "steps": 40},
        {"recipe": "demo", "loss": "public", "steps": 80},
    ]
    assert sweep.runs[1].config.positive_weight == 10  # what loss=public sets


def test_base_may_be_a_file_beside_the_sweep_and_arguments_override_it(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps(BASE | {"batch_pairs": 8}))
    sweep = asked(tmp_path, "batch_pairs=12", "seeds=[3]", base="train.json", grid={"learning_rate": [1e-4]})
    (run,) = sweep.runs
    assert (run.config.batch_pairs, run.config.steps, run.seed) == (12, 40, 3)


def test_seeds_alone_are_a_sweep(tmp_path: Path) -> None:
    sweep = asked(tmp_path, seeds=[0, 1, 2])
    assert ([run.name for run in sweep.runs], len(sweep.points)) == (["seed-0", "seed-1", "seed-2"], 1)


def test_names_stay_when_the_grid_grows_and_are_safe_as_folders(tmp_path: Path) -> None:
    names = [run.name for run in asked(tmp_path, grid={"learning_rate": [1e-4, 1e-3]}).runs]
    grown = [run.name for run in asked(tmp_path, grid={"learning_rate": [1e-5, 1e-4, 1e-3]}).runs]
    assert names == grown[1:]
    many = {name: [SETTABLE[name].default] for name in ("learning_rate", "warmup", "final_rate", "weight_decay")}
    (long,) = asked(tmp_path, grid={**many, "loss_presence": [20.0], "average": [0.98], "newer_weight": [2.0]}).runs
    assert len(long.name) <= 80


REFUSED: list[tuple[dict[str, Any], list[str], str]] = [
    ({}, [], "nothing to compare"),
    ({"grid": GRID, "list": [{"steps": 4}]}, [], "both a `grid` and a `list`"),
    ({"grid": {"lerning_rate": [1]}}, [], "Did you mean 'learning_rate'"),
    ({"grid": {"learning_rate": 0.1}}, [], "'learning_rate' is a list of values"),
    ({"grid": {"learning_rate": []}}, [], "'learning_rate' is an empty list"),
    ({"grid": []}, [], "'grid' is a table"),
    ({"list": []}, [], "'list' is a list of tables"),
    ({"list": [{"steps": 4}, 7]}, [], "Entry 2 of the list"),
    ({"grid": {"seed": [0, 1]}}, [], "by the key 'seeds'"),
    ({"grid": {"snapshot": ["a", "b"]}}, [], "'snapshot' is the same for all runs: it belongs under `base`"),
    ({"grid": {"learning_rate": [1e-4, 7]}}, [], "1 of 2 configs cannot be trained. learning_rate=7: "),
    ({"grid": {"validate_every": [60]}}, [], "validate_every=60: The key 'validate_every' has no effect"),
    ({"list": [{"steps": 4}, {"steps": 4}]}, [], "'steps-4_seed-0' is asked for twice"),
    ({"grid": {"micro_pairs": [2, 4]}}, [], "would give the same model"),
    ({"grid": GRID, "seeds": [1, 1]}, [], "names a seed twice"),
    ({"grid": GRID, "seeds": 3}, [], "'seeds' is a list of whole numbers"),
    ({"grid": GRID, "split": "train"}, [], "'split' is one of val, test, holdout"),
    ({"grid": GRID, "bootstrap": 10}, [], "100 rounds or more"),
    ({"grid": GRID, "sead": [1]}, [], "Did you mean 'seeds'"),
    ({"grid": GRID}, ["learning_rate=1"], "'learning_rate=1' would do nothing"),
    ({"grid": {"learning_rate": [n / 1000 for n in range(1, 32)]}}, [], "31 runs, more than 30"),
    ({"grid": GRID, "base": BASE | {"resume": False}}, [], "leave the key 'resume' out"),
    ({"grid": GRID, "base": "absent.yaml"}, [], "absent.yaml cannot be read"),
]


@pytest.mark.parametrize(("keys", "overrides", "sentence"), REFUSED, ids=[row[2][:40] for row in REFUSED])
def test_what_cannot_be_swept_is_refused_by_name(
    tmp_path: Path, keys: dict[str, Any], overrides: list[str], sentence: str
) -> None:
    with pytest.raises(Refused) as refused:
        asked(tmp_path, *overrides, **keys)
    assert sentence in refused.value.message


def test_many_runs_are_made_when_they_are_meant(tmp_path: Path) -> None:
    grid = {"learning_rate": [n / 1000 for n in range(1, 32)]}
    assert len(asked(tmp_path, grid=grid, are_many_meant=True).runs) == 31


def test_sweep_itself_loads_no_torch() -> None:
    """It would otherwise have its share of the card while its runs train."""
    program = "import sys, training.sweep.work, training.sweep.asked; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


# What is concluded, from counts that are made by hand: a model finds the first `found` positives perfectly and fires on
# the first `alarms` negatives; every pair is an image of its own.


def cgf1_by_hand(tp: int, fn: int, fp: int, tn: int) -> float:
    """Perfect masks: micro F1 of the positives times the correlation, without the official epsilons."""
    margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return 2 * tp / (2 * tp + fn) * ((tp * tn - fp * fn) / margins**0.5 if margins else 0.0)


def left(folder: Path, found: int, alarms: int) -> JudgedModel:
    """As `evaluate` leaves it."""
    folder.mkdir(parents=True)
    fires = [n < found for n in range(POSITIVES)] + [n < alarms for n in range(NEGATIVES)]
    rows = [
        {
            "id": pair,
            "image": f"image {pair}",
            "scene": f"scene {pair}",
            "instances": int(pair < POSITIVES),
            "predicted": int(does_fire),
            "true_positives": [int(does_fire and pair < POSITIVES)] * 10,
        }
        for pair, does_fire in enumerate(fires)
    ]
    cgf1 = cgf1_by_hand(found, POSITIVES - found, alarms, NEGATIVES - alarms)
    summary = {"cgf1": cgf1, "pmf1": 2 * found / (found + POSITIVES), "il_mcc": 0.0, "il_fpr": alarms / NEGATIVES}
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "manifest.json").write_text(json.dumps({"summary": summary}))
    return judged_model(folder)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Three rates with two seeds: clearly better, a little better, and one that broke with its second seed."""
    tmp_path = tmp_path_factory.mktemp("results")
    sweep = asked(tmp_path, grid={"learning_rate": [1e-4, 1e-3, 1e-2]}, seeds=[0, 1], bootstrap=4000)
    figures = [(17, 4), (15, 3), (25, 1), (23, 2), (29, 0)]
    outcomes = {
        run.name: Outcome("done", "", 50, left(tmp_path / run.name, *counts))
        for run, counts in zip(sweep.runs, figures, strict=False)
    }
    outcomes[sweep.runs[5].name] = Outcome("failed", "diverged: The loss is no number at step 3 | lower it.")
    return Results(sweep, left(tmp_path / "base", 15, 3), outcomes)


def rates(alarms_and_found: tuple[int, int], drawn: np.ndarray) -> float:
    found, alarms = alarms_and_found
    positive = drawn < POSITIVES
    tp, fp = int((drawn[positive] < found).sum()), int((drawn[~positive] - POSITIVES < alarms).sum())
    return cgf1_by_hand(tp, int(positive.sum()) - tp, fp, int((~positive).sum()) - fp)


def bounds_by_hand(base: tuple[int, int], seeds: list[tuple[int, int]]) -> tuple[float, float]:
    """The plain loop: draw images, and compare the mean over seeds with the base model on what was drawn."""
    rng, gains = np.random.default_rng(11), []
    for _ in range(3000):
        drawn = rng.integers(0, POSITIVES + NEGATIVES, POSITIVES + NEGATIVES)
        gains.append(np.mean([rates(seed, drawn) for seed in seeds]) - rates(base, drawn))
    return tuple(np.quantile(gains, [0.025, 0.975]))  # type: ignore[return-value]


def test_gain_of_a_point_is_the_mean_over_seeds_with_the_interval_of_a_plain_bootstrap(results: Results) -> None:
    point = results.plain["points"][1]
    each = [cgf1_by_hand(25, 5, 1, 29), cgf1_by_hand(23, 7, 2, 28)]
    base = cgf1_by_hand(15, 15, 3, 27)
    assert point["cgf1"] == pytest.approx(sum(each) / 2)
    assert point["cgf1_spread"] == pytest.approx(abs(each[0] - each[1]) / 2**0.5)
    gain = point["over_base"]
    assert gain["delta"] == pytest.approx(sum(each) / 2 - base, abs=1e-3)
    low, high = bounds_by_hand((15, 3), [(25, 1), (23, 2)])
    assert (gain["low"], gain["high"]) == pytest.approx((low, high), abs=0.02)


def test_one_runs_interval_is_the_gates_own(results: Results) -> None:
    run, base = results.plain["runs"][2], results.base
    challenger = results.outcomes[run["name"]].judged
    assert challenger is not None
    sides = [Judged(model.counts, np.zeros(len(model.counts))) for model in (base, challenger)]
    asked = Asked(base.scenes, ["chicken"] * len(base.scenes))
    said = decide(sides[0], sides[1], asked, Policy(bootstrap=4000, min_scenes=1), seed=0)
    assert run["over_base"] == {
        "delta": said["delta_cgf1"],
        "low": said["bootstrap"]["low"],
        "high": said["bootstrap"]["high"],
    }


def test_best_is_the_highest_mean_of_those_with_all_their_seeds(results: Results) -> None:
    """The third rate's one seed is higher, but the other one broke."""
    plain = results.plain
    assert plain["points"][2]["cgf1"] > plain["points"][1]["cgf1"]
    assert (plain["best"], plain["points"][2]["seeds"], plain["runs_done"]) == ("learning_rate-0.001", 1, 5)
    assert "learning_rate-0.01 has a higher mean, with 1 of 2 seeds" in plain["sentences"][2]


def test_point_that_is_worse_for_certain_is_told_from_one_that_may_be_chance(results: Results) -> None:
    first, _, third = results.plain["points"]
    assert first["over_base"]["low"] < 0 < first["over_base"]["high"]
    assert first["over_best"]["high"] < 0
    assert third["over_best"]["high"] > 0
    assert "Of one other it cannot be said that it is worse" in results.plain["sentences"][1]


def test_table_has_a_line_a_run_with_what_went_wrong(results: Results) -> None:
    rows = list(csv.DictReader(as_csv(results).splitlines()))
    assert [row["state"] for row in rows] == ["base model", *["done"] * 5, "failed"]
    assert rows[3]["cgf1"] == f"{cgf1_by_hand(25, 5, 1, 29):.6f}"
    assert (rows[6]["learning_rate"], rows[6]["seed"], rows[6]["cgf1"]) == ("0.01", "1", "")
    assert rows[6]["message"].startswith("diverged: The loss is no number")


def test_page_for_people_keeps_its_columns_whatever_a_message_holds(results: Results) -> None:
    lines = as_markdown(results.plain).splitlines()
    rows = [line.replace("\\|", "") for line in lines if line.startswith("| learning_rate-")]
    assert {row.count("|") for row in rows} == {7}
    assert "**best**" in next(line for line in lines if line.startswith("| 0.001 "))


def test_plot_has_a_bar_and_the_seeds_of_each_judged_point(results: Results) -> None:
    drawn = ElementTree.fromstring(gain_plot(results.plain))
    circles = [float(c.get("r", 0)) for c in drawn.iter("{http://www.w3.org/2000/svg}circle")]
    assert (circles.count(5.0), circles.count(2.5)) == (3, 5)
    bars = [path.get("d", "") for path in drawn.iter("{http://www.w3.org/2000/svg}path") if path.get("stroke-width")]
    ends = [[float(x) for x in (bar[1:].split()[0], bar.split("H")[1])] for bar in bars]
    dots = [float(c.get("cx", 0)) for c in drawn.iter("{http://www.w3.org/2000/svg}circle") if c.get("r") == "5"]
    assert all(low < dot < high for (low, high), dot in zip(ends, dots, strict=True))
    words = [text.text or "" for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert [word for word in words if word.startswith("+")] == ["+0", "+20", "+40", "+60", "+80"]


def test_best_config_is_one_that_trains_with_the_first_seed(results: Results, tmp_path: Path) -> None:
    write_pages(tmp_path / "out", results)
    config = read_config("train", tmp_path / "out" / "best.yaml")
    assert (config.learning_rate, config.seed, config.steps) == (1e-3, 0, 40)
    assert Path(config.snapshot).is_absolute()


@pytest.mark.parametrize(
    "table",
    [
        {"learning_rate": 1e-3},
        {"recipe": "sam3_heads", "text_rate": 0.1},
        {"recipe": "sam3_heads", "optimizer": "sam3_heads_text"},
        {"loss": "public_branches"},
        {"recipe": "pilot", "minutes": 5},
    ],
    ids=str,
)
def test_retrain_with_the_best_settings_is_the_same_training(tmp_path: Path, table: dict[str, Any]) -> None:
    """A server is given settings, not groups of files: they are resolved as it resolves them."""
    base = {key: value for key, value in BASE.items() if "minutes" not in table or key != "steps"}
    config = asked(tmp_path, base=base, list=[table]).runs[0].config
    given = retrain_settings(config)
    assert idle_of_run(given) is None
    there = resolved(given, set_by(given["recipe"]))
    wanted = {name: getattr(config, name) for name in SETTABLE}
    assert {name: there[name] for name in SETTABLE} == wanted


def test_retrain_command_can_be_pasted() -> None:
    assert retrain_command({"recipe": "demo", "mirror": True, "patience": None}) == (
        "python manage.py retrain PROJECT --set recipe=demo --set mirror=true --set patience=null"
    )


def test_counts_are_read_as_the_evaluation_left_them(tmp_path: Path) -> None:
    counts = left(tmp_path / "judged", 2, 1).counts
    assert counts.n_gt_P.tolist() == [1] * 30 + [0] * 30
    assert counts.n_dt_P.tolist() == [1, 1] + [0] * 28 + [1] + [0] * 29
    assert counts.tp_PT.sum(axis=1).tolist() == [10, 10] + [0] * 58
