"""Runs side by side: which are shown, what of their settings differs, and what came of them."""

import json
import re

import pytest
from django.urls import reverse

from annotator.registry.run_compare import result_rows, runs_compared, setting_rows
from tests import factories
from tests.web.test_pages_training import judged_run

ADDRESS = reverse("run-compare", args=["barn"])


def compared(project, *numbers: int):
    return runs_compared(project=project, numbers=numbers)


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.fixture(autouse=True)
def _folders(settings, tmp_path):
    settings.RUNS_DIR = tmp_path


def test_settings_that_differ_are_shown_and_equal_ones_are_not(barn):
    factories.make_training_run(barn.project, config={"steps": 40, "seed": 7, "mirror": True})
    factories.make_training_run(barn.project, config={"steps": 60, "seed": 7})
    rows = {row.name: row.values for row in setting_rows(compared(barn.project, 1, 2))}
    assert rows == {"steps": ["40", "60"], "mirror": ["yes", "no"]}


def test_settings_are_those_that_the_trainer_resolved(barn, tmp_path):
    """What a default was when the run was made counts, not what it is now; folders are no setting."""
    for number, rate in ((1, 0.5), (2, 0.25)):
        factories.make_training_run(barn.project)
        folder = tmp_path / f"barn-{number}"
        folder.mkdir()
        (folder / "config.yaml").write_text(f"learning_rate: {rate}\nimages: /elsewhere/{number}\n")
    rows = {row.name: row.values for row in setting_rows(compared(barn.project, 1, 2))}
    assert rows == {"learning_rate": ["0.5", "0.25"]}


def test_results_stand_beside_each_other(barn):
    validation = [{"step": 5, "cgf1": 0.31}, {"step": 10, "cgf1": 0.44}, {"step": 15, "cgf1": None}]
    judged_run(barn, series={"validation": validation}, trainer_seconds=7200, hour_price=0.6, currency="EUR")
    factories.make_training_run(barn.project)
    rows = {row.name: row.values for row in result_rows(compared(barn.project, 2, 1))}
    assert rows["Best CGF1 on val"] == ["44.0", "–"]
    assert rows["CGF1 on the holdout"] == ["48.0", "–"]
    assert rows["Gate"] == ["Promote", "–"]
    assert rows["The trainer worked"] == ["2 h 0 min", "0 s"]
    assert rows["Cost"] == ["1.20 EUR", "–"]


def test_page_holds_the_curves_of_the_chosen_runs_alone(barn, signed_in):
    for total in (6.5, 5.5, 4.5):
        factories.make_training_run(barn.project, series={"loss": [{"step": 5, "total": total}]})
    page = signed_in(barn.annotator).get(ADDRESS, {"run": [3, 1]}).content.decode()
    found = re.search(r'<script id="compared-data"[^>]*>(.*?)</script>', page)
    assert found is not None
    curves = json.loads(found[1])
    assert [(run["name"], run["loss"][0]["total"]) for run in curves] == [("run 1", 6.5), ("run 3", 4.5)]


@pytest.mark.parametrize("asked", [[], ["1"], ["1", "1"]])
def test_one_run_alone_is_compared_with_nothing_and_the_page_says_what_to_do(barn, signed_in, asked):
    factories.make_training_run(barn.project)
    assert "Choose two runs or more" in signed_in(barn.annotator).get(ADDRESS, {"run": asked}).content.decode()


@pytest.mark.parametrize("asked", [["1", "9"], ["1", "x"], ["1", "-2"]])
def test_run_that_there_is_not_is_404(barn, signed_in, asked):
    factories.make_training_run(barn.project)
    assert signed_in(barn.annotator).get(ADDRESS, {"run": asked}).status_code == 404


def test_run_of_another_project_is_404(barn, signed_in):
    factories.make_training_run(barn.project)
    factories.make_training_run(factories.make_project(name="Other"), number=2)
    assert signed_in(barn.annotator).get(ADDRESS, {"run": [1, 2]}).status_code == 404


def test_more_runs_than_can_be_told_apart_are_refused_in_words(barn, signed_in):
    for _ in range(7):
        factories.make_training_run(barn.project)
    page = words(signed_in(barn.annotator).get(ADDRESS, {"run": range(1, 8)}, follow=True).content.decode())
    assert "Mark 6 runs at most" in page


def test_list_of_runs_lets_them_be_marked_once_there_are_two(barn, signed_in):
    factories.make_training_run(barn.project)
    training = reverse("training", args=["barn"])
    assert ADDRESS not in signed_in(barn.annotator).get(training).content.decode()
    factories.make_training_run(barn.project)
    page = signed_in(barn.annotator).get(training).content.decode()
    assert f'action="{ADDRESS}"' in page
    assert page.count('name="run"') == 2
