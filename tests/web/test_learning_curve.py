"""The learning curve: where each model stands, what it learnt, what the page says, and to whom."""

import json

import pytest
from django.conf import settings
from django.urls import reverse

from annotator.home.curve import learning_curve, next_target
from annotator.models import Deployment, Evaluation, Snapshot
from annotator.registry.learned import learned_of
from annotator.registry.learning_curve import curve_points
from tests import factories
from tests.web.test_evaluations import evaluated, pair_row

LABOUR = {"labels": 40, "answers": 50, "timed": 45, "seconds": 3600.0, "through": 0}


def measures(value: float) -> dict:
    return {"figures": {"cgf1": {"value": value, "n": 100, "low": value - 0.05, "high": value + 0.05}}}


def judged(barn, version, snapshot, cgf1: float, **fields) -> Evaluation:
    told = {"metrics": {"cgf1": cgf1, "pairs": 100}, "measures": measures(cgf1)}
    return evaluated(barn, version, snapshot, "holdout", **told | fields)


def round_of(barn, number: int, cgf1: float, *, promoted: bool = True, rows: list | None = None):
    """A run whose snapshot was taken after `number` hours and 40 labels each, with its decision."""
    labour = LABOUR | {"labels": 40 * number, "seconds": 3600.0 * number, "through": number}
    version = factories.make_version(f"barn-v{number}", project=barn.project)
    run = factories.make_training_run(
        barn.project, version=version, snapshot=factories.make_snapshot(barn.project, labour=labour)
    )
    folder = f"gates/barn/{number}"
    (settings.RUNS_DIR / folder).mkdir(parents=True)
    (settings.RUNS_DIR / folder / "rows.json").write_text(json.dumps(rows or []))
    gate = factories.make_gate(run, "promote" if promoted else "reject", folder=folder)
    judged(barn, version, run.snapshot, cgf1, gate=gate)
    if promoted:
        Deployment.objects.create(project=barn.project, version=version, action="promote", gate=gate, by=barn.admin)
    return run


def both(image: str, there: int, before: tuple[int, int], after: tuple[int, int]) -> dict:
    """A pair of the gate's rows: (predicted, right) of champion and challenger."""
    row = pair_row(image, there=there)
    sides = (("champion", before), ("challenger", after))
    return row | {role: {"presence": 0.5, "predicted": n, "true_positives": [k] * 10} for role, (n, k) in sides}


ROWS = [
    both("a", 1, (0, 0), (1, 1)),  # fixed
    both("b", 0, (1, 0), (0, 0)),  # fixed
    both("c", 1, (1, 1), (2, 1)),  # broken
    both("d", 2, (1, 1), (1, 1)),  # wrong before and now
]


@pytest.fixture
def grown(barn):
    """As shipped, 45 points; three hours later 60, kept back once at 58."""
    judged(barn, barn.project.serving_version, factories.make_snapshot(barn.project), 0.45)
    round_of(barn, 1, 0.52)
    round_of(barn, 2, 0.58, promoted=False)
    round_of(barn, 3, 0.60, rows=ROWS)
    return barn


def test_each_model_stands_at_what_was_spent_up_to_its_snapshot(grown):
    points = curve_points(project=grown.project)
    told = [(one.version, one.state, one.labels, one.hours, one.cgf1) for one in points]
    assert told == [
        ("demo", "start", 0, 0.0, 0.45),
        ("barn-v1", "promoted", 40, 1.0, 0.52),
        ("barn-v2", "kept_back", 80, 2.0, 0.58),
        ("barn-v3", "promoted", 120, 3.0, 0.60),
    ]
    assert (points[3].low, points[3].high) == pytest.approx((0.55, 0.65))


def test_newest_holdout_that_judged_a_model_counts_and_other_splits_don_t(grown):
    version = grown.project.model_versions.get(name="barn-v1")
    later = judged(grown, version, factories.make_snapshot(grown.project), 0.50)
    evaluated(grown, version, factories.make_snapshot(grown.project), "test", metrics={"cgf1": 0.99})
    point = curve_points(project=grown.project)[1]
    assert (point.evaluation, point.cgf1, point.hours) == (later.pk, 0.50, 1.0)


def test_measures_that_are_gone_leave_a_point_without_an_interval(grown):
    Evaluation.objects.filter(version__name="barn-v3").update(folder="")
    point = curve_points(project=grown.project)[3]
    assert (point.cgf1, point.low, point.high) == (0.60, None, None)
    assert learning_curve(project=grown.project).forecast.verdict == "too_few"


def test_what_a_model_learnt_are_images_that_became_right_and_wrong(grown):
    gate = grown.project.gate_decisions.get(challenger__name="barn-v3")
    found = learned_of(gate=gate)
    assert (found.pairs, found.fixed, found.broken) == (4, 2, 1)
    assert [change.image[0] for change in found.mended] == ["a", "b"]
    assert found.lost[0].words == "1 there; 1 right of 1 found, then 1 right of 2 found"
    (settings.RUNS_DIR / gate.folder / "rows.json").unlink()
    assert learned_of(gate=gate) is None


def test_next_target_is_the_next_five_points_above_what_served(grown):
    assert next_target(curve_points(project=grown.project)) == 0.65
    assert next_target([]) == 0.05


def page(client, barn, **query):
    return client.get(reverse("curve", args=[barn.project.slug]), query)


def test_page_of_a_new_project_says_what_to_do(barn, signed_in):
    told = page(signed_in(barn.annotator), barn).content.decode()
    assert "No round is finished yet" in told
    assert reverse("desk", args=[barn.project.slug]) in told


def test_page_tells_the_curve_the_forecast_and_what_random_order_lacks(grown, signed_in):
    told = " ".join(page(signed_in(grown.admin), grown, target="62").content.decode().split())
    assert "more to 62.0 points" in told
    assert "It can&#x27;t be told yet: there are 0 audited answers" in told
    assert "2 images fixed, 1 broken" in told
    assert '"mark": "triangle"' in told
    assert reverse("curve", args=["barn"]) in signed_in(grown.admin).get("/p/barn/").content.decode()


def test_wrong_target_is_told_before_anything_was_judged_too(barn, signed_in):
    answer = signed_in(barn.admin).get(reverse("curve", args=["barn"]), {"target": "101"})
    assert answer.status_code == 400
    assert "errorlist" in answer.content.decode()


def test_target_that_is_no_cgf1_is_refused_in_words(grown, signed_in):
    for wrong in ("0", "101", "much", "nan", "inf"):
        answer = page(signed_in(grown.admin), grown, target=wrong)
        assert answer.status_code == 400, wrong
        assert "errorlist" in answer.content.decode()


def test_rounds_that_gained_nothing_lead_to_the_failures(grown, signed_in):
    for number in (4, 5, 6):
        round_of(grown, number, 0.59, promoted=False)
    told = page(signed_in(grown.admin), grown, target="80").content.decode()
    assert "look at these failures" in told
    served = Evaluation.objects.get(version__name="barn-v3")
    assert f'class="button" href="{reverse("evaluation", args=["barn", served.pk])}"' in told


def test_annotators_are_told_how_many_images_changed_but_not_which(grown, signed_in, api):
    told = page(signed_in(grown.annotator), grown).content.decode()
    assert ("a" * 64 in told, "2 images fixed" in " ".join(told.split())) == (False, True)
    assert "a" * 64 in page(signed_in(grown.reviewer), grown).content.decode()
    address = reverse("api-curve", args=["barn"])
    learned = [api(one).get(address).json()["points"][3]["learned"] for one in (grown.annotator, grown.reviewer)]
    assert learned[0] == {"pairs": 4, "fixed": 2, "broken": 1, "fixed_images": None, "broken_images": None}
    assert [one["image"][0] for one in learned[1]["fixed_images"]] == ["a", "b"]


def test_api_tells_the_same_as_fractions_and_refuses_points(grown, api):
    address = reverse("api-curve", args=["barn"])
    told = api(grown.annotator).get(address, {"target": "0.62"}).json()
    assert [(one["state"], one["hours"], one["cgf1"]) for one in told["points"]][1] == ("promoted", 1.0, 0.52)
    assert (told["forecast"]["target"], told["forecast"]["verdict"]) == (0.62, "told")
    assert told["forecast"]["hours"]["x"] > 3.0
    assert told["random_order"]["more_audits"] == 30
    assert api(grown.annotator).get(address, {"target": "62"}).status_code == 400


def test_another_project_s_models_stand_on_its_own_curve(grown):
    other = factories.make_project(grown.admin, "Coop")
    assert curve_points(project=other) == []
    assert Snapshot.objects.filter(project=other).count() == 0
