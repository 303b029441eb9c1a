"""Calls about mining, training, promotion, predictions and concepts."""

from functools import partial

from annotator.models import Image
from tests import factories
from tests.web.api_case_book import admin_call, case
from tests.web.api_farm import BARN, post
from tests.web.test_evaluations import evaluated
from tests.web.test_gates import decided
from tests.web.test_promotion import judged
from tests.web.test_second_labels import judged_rows, labelled
from tests.web.test_training_run import settle_all
from tests.web.test_version_compare import FIRST, SECOND


def doubted(farm) -> None:
    """A label that the serving model contradicts with confidence."""
    pair = factories.make_pair(farm.project, truth="absent")
    seen = {"mask": factories.box_rle(), "box": [2, 3, 9, 10], "score": 0.9, "query_score": 0.95, "stability": 0.9}
    factories.make_prediction(pair, 0.95, [seen])


def half_outlined(farm) -> None:
    factories.make_pair(farm.project, truth="present", is_exhaustive=False)


def held_out(farm) -> None:
    factories.make_pair(farm.project, image=factories.make_image(farm.project, split=Image.Split.HOLDOUT))


def labelled_wrongly(farm) -> None:
    """Two negatives of the holdout; a model that the gate judged last is sure that one of them is none."""
    pairs = [labelled(farm.barn) for _ in range(2)]
    judged_rows(farm.barn, [(pairs[0], 0.95), (pairs[1], 0.02)])


def to_mine(farm) -> None:
    factories.make_pair(farm.project)


case("POST /projects/{slug}/mine")(partial(admin_call, verb="mine", prepare=to_mine, settled=True))
case("POST /projects/{slug}/suspects")(partial(admin_call, verb="suspects", prepare=doubted))
case("POST /projects/{slug}/incomplete")(partial(admin_call, verb="incomplete", prepare=half_outlined))
case("POST /projects/{slug}/second-labels")(partial(admin_call, verb="second-labels", prepare=labelled_wrongly))
case("POST /projects/{slug}/holdout")(partial(admin_call, verb="holdout", prepare=held_out, count=1))


@case("POST /projects/{slug}/retrain")
def retrain(farm):
    settle_all(farm.barn)
    yield post(farm.admin, f"{BARN}/retrain", {"config": {"base_model": "/etc"}})
    told = post(farm.admin, f"{BARN}/retrain", {"config": {"seed": 1, "steps": 2}})
    assert told.json()["run"] == 1
    yield told
    yield post(farm.admin, f"{BARN}/retrain", {"force": True})  # one runs


@case("POST /projects/{slug}/predict")
def predict(farm):
    yield post(farm.admin, f"{BARN}/predict", {"source": "/etc"})
    folder = farm.settings.VAR_DIR / "opened"
    folder.mkdir(exist_ok=True)
    farm.settings.SOURCES = [str(folder)]
    yield post(farm.admin, f"{BARN}/predict", {"source": str(folder), "threshold": 0.5})


@case("POST /projects/{slug}/gate")
def gate(farm):
    yield post(farm.admin, f"{BARN}/gate", {"run": 1})
    settle_all(farm.barn)
    judged(farm.barn, decision="undecided")
    run = farm.project.training_runs.get()
    factories.write_pairs(run.snapshot)
    yield post(farm.admin, f"{BARN}/gate", {"run": run.number})
    yield post(farm.admin, f"{BARN}/gate", {"run": run.number})  # it is being asked
    yield post(farm.admin, f"{BARN}/gate", {"run": run.number, "version": "other"})  # either, not both
    farm.project.jobs.update(state="succeeded")
    yield post(farm.admin, f"{BARN}/gate", {"version": "demo"})


@case("GET /projects/{slug}/gates")
def gates(farm):
    judged(farm.barn, decision="undecided")
    yield farm.annotator.get(f"{BARN}/gates")
    yield farm.outsider.get(f"{BARN}/gates")


@case("GET /projects/{slug}/gates/{gate_id}")
def gate_decision(farm):
    decision = decided(farm.barn, factories.make_version("demo"))
    yield farm.annotator.get(f"{BARN}/gates/{decision.pk}")
    yield farm.annotator.get(f"{BARN}/gates/{decision.pk + 1}")


@case("GET /projects/{slug}/evaluations")
def evaluations(farm):
    evaluated(farm.barn, factories.make_version("demo"), factories.make_snapshot(farm.project))
    yield farm.annotator.get(f"{BARN}/evaluations")
    yield farm.outsider.get(f"{BARN}/evaluations")


@case("POST /projects/{slug}/evaluations")
def evaluate(farm):
    yield post(farm.admin, f"{BARN}/evaluations", {"version": "demo", "split": "train"})
    settle_all(farm.barn)
    yield post(farm.admin, f"{BARN}/evaluations", {"version": "demo", "preset": "production"})
    yield post(farm.admin, f"{BARN}/evaluations", {"version": "demo"})  # it is being evaluated
    yield post(farm.reviewer, f"{BARN}/evaluations", {"version": "demo"})


@case("GET /projects/{slug}/evaluations/{evaluation_id}")
def evaluation(farm):
    row = evaluated(farm.barn, factories.make_version("demo"), factories.make_snapshot(farm.project))
    told = farm.annotator.get(f"{BARN}/evaluations/{row.pk}")
    assert told.json()["readiness"]["verdict"] == "deploy"
    yield told
    row.folder = ""
    row.save()
    yield farm.annotator.get(f"{BARN}/evaluations/{row.pk}")
    yield farm.annotator.get(f"{BARN}/evaluations/{row.pk + 1}")


@case("GET /projects/{slug}/evaluations/compare")
def compare(farm):
    snapshot = factories.make_snapshot(farm.project)
    for name, found in (("demo", FIRST), ("tiny", SECOND)):
        evaluated(farm.barn, factories.make_version(name), snapshot, rows=found)
    asked = f"{BARN}/evaluations/compare?version=demo&version="
    told = farm.annotator.get(f"{asked}tiny")
    assert told.json()["differences"][0]["mended"] == 2
    yield told
    yield farm.annotator.get(f"{asked}tiny&snapshot={snapshot.number}&split=val")
    yield farm.annotator.get(f"{asked}nobody")
    yield farm.annotator.get(f"{BARN}/evaluations/compare?version=demo")


@case("POST /projects/{slug}/promote")
def promote(farm):
    judged(farm.barn, decision="reject")
    yield post(farm.admin, f"{BARN}/promote", {"version": "other"})
    yield post(farm.admin, f"{BARN}/promote", {"version": "other", "override_reason": "It is better on hens."})


@case("POST /projects/{slug}/rollback")
def rollback(farm):
    judged(farm.barn)
    farm.project.deployments.update(version=farm.project.serving_version)
    assert post(farm.admin, f"{BARN}/promote", {"version": "other"}).status_code == 200
    yield post(farm.admin, f"{BARN}/rollback")
    yield post(farm.admin, f"{BARN}/rollback")


@case("GET /projects/{slug}/concepts/")
def concepts(farm):
    factories.make_concept(farm.project, "hen", synonyms=["biddy"])
    yield farm.annotator.get(f"{BARN}/concepts/")
    yield farm.outsider.get(f"{BARN}/concepts/")


@case("POST /projects/{slug}/concepts/{concept_id}/rename")
def rename(farm):
    path = f"{BARN}/concepts/{farm.barn.chicken.pk}/rename"
    yield post(farm.admin, path, {"name": "rooster"})
    factories.make_job(farm.project)
    yield post(farm.admin, path, {"name": "cock"})


@case("POST /projects/{slug}/concepts/{concept_id}/merge")
def merge(farm):
    hen = factories.make_concept(farm.project, "hen")
    path = f"{BARN}/concepts/{hen.pk}/merge"
    yield post(farm.admin, path, {"into": farm.barn.chicken.pk, "preview": True})
    yield post(farm.admin, path, {"into": farm.barn.chicken.pk})
    yield post(farm.admin, path, {"into": farm.barn.chicken.pk})  # it is gone
    yield farm.annotator.get(f"{BARN}/concepts/")  # with `merged_into` and `retired_at`


@case("POST /projects/{slug}/concepts/{concept_id}/retire")
def retire(farm):
    hen = factories.make_concept(farm.project, "hen")
    yield post(farm.admin, f"{BARN}/concepts/{hen.pk}/retire")
    yield post(farm.admin, f"{BARN}/concepts/{farm.barn.chicken.pk}/retire")  # the last one
    yield post(farm.annotator, f"{BARN}/concepts/{hen.pk}/retire")


@case("POST /projects/{slug}/concepts/{concept_id}/restore")
def restore(farm):
    hen = factories.make_concept(farm.project, "hen")
    assert post(farm.admin, f"{BARN}/concepts/{hen.pk}/retire").status_code == 200
    yield post(farm.admin, f"{BARN}/concepts/{hen.pk}/restore")
    yield post(farm.annotator, f"{BARN}/concepts/{hen.pk}/restore")
