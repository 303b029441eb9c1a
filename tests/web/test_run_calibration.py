"""How far presence can be believed: from the trainer's manifest to the version's page and the API, and the audit's word
on the band."""

import json

import pytest
from django.urls import reverse

from annotator.models import Task
from annotator.queue.model_errors import band_truth
from annotator.registry.run_files import run_folder
from annotator.registry.training_runs import _register
from annotator.registry.version_calibration import read_calibration
from tests import factories


def bins(share: float, presence: float) -> list[dict]:
    """Ten, all of 40 pairs in the seventh."""
    empty = {"n": 0, "mean_presence": None, "share": None, "share_low": None, "share_high": None}
    rows = [{"low": place / 10, "high": (place + 1) / 10, **empty} for place in range(10)]
    rows[6] |= {"n": 40, "mean_presence": presence, "share": share, "share_low": 0.41, "share_high": 0.72}
    return rows


TOLD = {
    "temperature": 2.25,
    "pairs": 40,
    "positives": 23,
    "ece_before": 0.104,
    "ece_after": 0.031,
    "before": {"bins": bins(0.575, 0.68), "ece": 0.104},
    "after": {"bins": bins(0.575, 0.61), "ece": 0.031},
}
WHY = "val has 12 pairs, 5 of them with the thing: it takes 30, and 8 of either kind."


def version_with(barn, told):
    return factories.make_version("barn-v1", project=barn.project, metrics={"presence_calibration": told})


def page_of(browser, version) -> str:
    return " ".join(browser.get(reverse("version", args=["barn", version.name])).content.decode().split())


def test_page_of_a_version_shows_errors_plot_and_the_same_numbers_as_a_table(barn, signed_in):
    page = page_of(signed_in(barn.annotator), version_with(barn, TOLD))
    assert "On 40 pairs of <code>val</code> it was off by 10 % on average" in page
    assert "temperature of 2.25 it is off by <strong>3 %" in page
    assert '<td class="num">40</td><td class="num">57 % <span class="soft">[41 %, 72 %]' in page
    chart = json.loads(page.split('<script id="report-charts" type="application/json">')[1].split("</script>")[0])[0]
    assert [one["x"] for one in chart["series"]] == [[68.0], [61.0]]
    assert chart["series"][1]["high"] == [72.0]


def test_version_whose_val_was_too_small_says_so_and_one_from_before_says_nothing(barn, signed_in):
    small = version_with(barn, {"temperature": 1.0, "why": WHY, "pairs": 12, "positives": 5})
    page = page_of(signed_in(barn.annotator), small)
    assert WHY in page
    assert "report-charts" not in page
    old = factories.make_version("barn-v2", project=barn.project, metrics={"val": {}})
    assert "calibration-title" not in page_of(signed_in(barn.annotator), old)


def test_api_tells_temperature_and_errors_without_the_bins(barn, signed_in):
    version_with(barn, TOLD)
    found = signed_in(barn.annotator).get(reverse("api-model", args=["barn", "barn-v1"])).json()
    told = {"temperature": 2.25, "pairs": 40, "ece_before": 0.104, "ece_after": 0.031, "why": None}
    assert found["presence_calibration"] == told


@pytest.mark.parametrize(
    "told", [{"temperature": "2"}, [1], TOLD | {"before": {}}, TOLD | {"after": {"bins": [{"low": "0"}]}}]
)
def test_what_is_no_calibration_is_not_read_as_one(told):
    with pytest.raises((KeyError, TypeError, AttributeError)):
        read_calibration(told)


def answered_audit(barn, truth: str, presence: float, **fields) -> None:
    pair = factories.make_pair(barn.project, truth=truth)
    factories.make_prediction(pair, presence, [])
    factories.make_task(
        barn.project, pair, predicted=False, **{"lane": Task.Reason.AUDIT, "state": Task.State.APPROVED} | fields
    )


def test_band_is_held_against_audited_pairs_inside_it_alone(barn, signed_in):
    for number in range(12):
        answered_audit(barn, "present" if number < 9 else "absent", 0.4 + number / 60)
    for presence in (0.39, 0.61, 0.9):
        answered_audit(barn, "present", presence)
    answered_audit(barn, "absent", 0.5, lane=Task.Reason.BAND)
    found = band_truth(project=barn.project)
    assert (found.there, found.total, found.share) == (9, 12, 0.75)
    page = " ".join(signed_in(barn.annotator).get(reverse("queue-checks", args=["barn"])).content.decode().split())
    assert "Of audited pairs given 40 % – 60 % the thing was there in <strong>75 %</strong> (9 of 12" in page


def test_band_of_few_audited_pairs_is_not_told(barn, signed_in):
    for _ in range(9):
        answered_audit(barn, "present", 0.5)
    assert band_truth(project=barn.project).share is None
    page = signed_in(barn.annotator).get(reverse("queue-checks", args=["barn"])).content.decode()
    assert "the thing was" not in page


def test_registered_version_keeps_what_its_trainer_found(barn, settings, tmp_path):
    settings.MODELS_DIR, settings.RUNS_DIR = tmp_path / "models", tmp_path / "runs"
    run = factories.make_training_run(barn.project)
    (run_folder(run) / "model").mkdir(parents=True)
    (run_folder(run) / "model" / "config.json").write_text("{}")
    _register(run, {"presence_calibration": TOLD})
    assert read_calibration(run.version.metrics["presence_calibration"]).ece_after == 0.031
