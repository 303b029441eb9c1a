"""The loop's picture: counts at the stations and what to do next."""

from dataclasses import replace

import pytest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from annotator.concepts.services import concept_retire
from annotator.home.overview import CHANCES, loop_stations, next_step, project_counts
from annotator.models import GateDecision, Job, Pair, Project, Task
from annotator.registry.models_page import serving_quality
from tests import factories


def step_of(barn, role: str):
    user = getattr(barn, role)
    counts = project_counts(project=barn.project, user=user)
    return next_step(project=barn.project, counts=counts, role=role)


def counts_by_station(barn) -> dict:
    counts = project_counts(project=barn.project, user=barn.admin)
    return {station.key: station.count for station in loop_stations(project=barn.project, counts=counts)}


def make_gate(barn, decision: str = "promote", **fields) -> GateDecision:
    version = factories.make_version(f"barn-v{barn.project.training_runs.count() + 1}", project=barn.project)
    run = factories.make_training_run(barn.project, version=version)
    return factories.make_gate(run, decision, reasons=["Because."], **fields)


def test_stations_count_what_lies_there(barn):
    factories.make_pair(barn.project)
    factories.make_pair(barn.project, truth="absent")
    factories.make_pair(barn.project, truth="present")
    factories.make_task(barn.project)
    factories.make_task(barn.project, holder=barn.annotator)
    factories.make_annotation(factories.make_task(barn.project), barn.annotator)
    found = counts_by_station(barn)
    # Four unseen pairs: the lone one and those of the three tasks.
    wanted = {"import": 6, "mine": 4, "queue": 1, "label": 2, "review": 1, "snapshot": 2, "retrain": None}
    assert {key: found[key] for key in wanted} == wanted


def test_snapshot_station_counts_only_what_came_after_the_last_snapshot(barn):
    factories.make_pair(barn.project, truth="present")
    factories.make_snapshot(barn.project)
    assert counts_by_station(barn)["snapshot"] == 0
    factories.make_pair(barn.project, truth="absent", settled_at=timezone.now())
    assert counts_by_station(barn)["snapshot"] == 1


def test_home_leads_to_the_splits(barn, signed_in):
    page = signed_in(barn.annotator).get(reverse("project", args=["barn"])).content.decode()
    assert reverse("splits", args=["barn"]) in page


def test_empty_project_asks_its_admin_for_images(barn):
    assert step_of(barn, "admin").page == "images"


def test_empty_queue_tells_an_annotator_that_nothing_waits(barn):
    assert step_of(barn, "annotator").key == "wait"


def test_unseen_pairs_make_mining_the_admins_next_step(barn):
    factories.make_pair(barn.project)
    step = step_of(barn, "admin")
    assert (step.page, step.posts) == ("mine", True)


def test_waiting_task_sends_everybody_to_the_desk(barn):
    factories.make_task(barn.project)
    assert {step_of(barn, role).page for role in ("annotator", "reviewer", "admin")} == {"desk"}


def test_submitted_answer_sends_the_reviewer_to_review(barn):
    factories.make_annotation(factories.make_task(barn.project), barn.annotator)
    factories.make_task(barn.project)
    assert step_of(barn, "reviewer").page == "reviews"
    assert step_of(barn, "annotator").page == "desk"


def test_own_answer_is_no_review_work(barn):
    factories.make_annotation(factories.make_task(barn.project), barn.reviewer)
    assert step_of(barn, "reviewer").key == "wait"


def test_returned_task_comes_first_for_its_author(barn):
    task = factories.make_task(barn.project)
    factories.make_annotation(task, barn.annotator)
    Task.objects.filter(pk=task.pk).update(state=Task.State.RETURNED)
    assert step_of(barn, "annotator").key == "returned"


def test_approved_work_makes_a_snapshot_the_next_step_then_training(barn):
    factories.make_pair(barn.project, truth="present")
    assert step_of(barn, "admin").page == "snapshots"
    factories.make_snapshot(barn.project)
    assert step_of(barn, "admin").page == "training"


def test_passed_gate_comes_before_everything_for_the_admin(barn):
    factories.make_task(barn.project)
    gate = make_gate(barn)
    step = step_of(barn, "admin")
    assert (step.page, step.number) == ("run", gate.run.number)


@pytest.mark.parametrize("decision", ["reject", "undecided"])
def test_failed_gate_asks_for_no_promotion(barn, decision):
    factories.make_task(barn.project)
    make_gate(barn, decision)
    assert step_of(barn, "admin").page == "desk"


def test_gate_against_an_older_champion_asks_for_no_promotion(barn):
    factories.make_task(barn.project)
    make_gate(barn, champion=factories.make_version("older"))
    assert step_of(barn, "admin").page == "desk"


def test_running_job_sets_the_picture_in_motion(barn, signed_in):
    factories.make_pair(barn.project)
    address = reverse("project", args=[barn.project.slug])
    assert b"loop-busy" not in signed_in(barn.admin).get(address).content
    factories.make_job(barn.project, Job.Kind.MINE, state=Job.State.RUNNING)
    assert b"loop-busy" in signed_in(barn.admin).get(address).content


def test_quality_is_the_serving_version_s_own(barn):
    report = {
        "champion": {"cgf1": 0.4, "pmf1": 0.8, "il_mcc": 0.5},
        "challenger": {"cgf1": 0.6, "pmf1": 0.9, "il_mcc": 0.7},
    }
    gate = make_gate(barn, report=report)
    assert serving_quality(project=barn.project).cgf1 == 0.4
    barn.project.serving_version = gate.challenger
    assert serving_quality(project=barn.project).cgf1 == 0.6


def test_only_project_opens_at_once(barn, signed_in):
    assert signed_in(barn.annotator).get("/")["Location"] == reverse("project", args=["barn"])


def test_person_without_a_project_is_told_what_to_do(barn, signed_in):
    page = signed_in(barn.outsider).get("/").content.decode()
    assert "No project yet" in page
    assert "Barn" not in page


def test_new_project_has_its_concepts_and_admin(barn, signed_in):
    form = {"name": "Pond", "concepts": "duck, pond  weed,duck"}
    answer = signed_in(barn.admin).post(reverse("project-new"), form)
    project = Project.objects.get(name="Pond")
    assert answer["Location"] == reverse("images", args=[project.slug])
    assert list(project.concepts.values_list("name", flat=True)) == ["duck", "pond weed"]
    assert [(row.user, row.role) for row in project.memberships.all()] == [(barn.admin, "admin")]


@pytest.mark.parametrize("wrong", [{"name": "Pond", "concepts": " , "}, {"name": "", "concepts": "duck"}, {}])
def test_new_project_wants_a_name_and_a_concept(barn, signed_in, wrong):
    assert signed_in(barn.admin).post(reverse("project-new"), wrong).status_code == 400
    assert Project.objects.count() == 1


def test_first_project_is_made_by_a_superuser(db, signed_in):
    chief = factories.make_user("chief", is_superuser=True)
    assert "New project" in signed_in(chief).get("/").content.decode()
    signed_in(chief).post(reverse("project-new"), {"name": "Pond", "concepts": "duck"})
    assert Project.objects.get().memberships.get().user == chief


@pytest.mark.parametrize("role", ["annotator", "reviewer", "outsider"])
def test_others_make_no_projects(barn, signed_in, role):
    browser = signed_in(getattr(barn, role))
    assert browser.get(reverse("project-new")).status_code == 403
    assert browser.post(reverse("project-new"), {"name": "Pond", "concepts": "duck"}).status_code == 403
    assert Project.objects.count() == 1


def test_settled_pairs_are_told_apart_from_unseen_ones(barn, signed_in):
    factories.make_pair(barn.project, truth=Pair.Truth.ABSENT)
    page = signed_in(barn.annotator).get(reverse("project", args=["barn"])).content.decode()
    assert "<b>1</b><span>verified absent</span>" in page
    assert "<b>0</b><span>not looked at: neither</span>" in page


def test_admin_of_a_project_that_looks_for_nothing_is_told_to_name_something(barn):
    factories.make_image(barn.project)
    concept_retire(concept=barn.chicken, user=barn.admin)
    step = step_of(barn, "admin")
    assert (step.key, step.page) == ("name-it", "settings")


@pytest.mark.parametrize("step", [chance.step for chance in CHANCES], ids=lambda step: step.key)
def test_every_step_has_words_of_its_own(barn, step):
    counts = project_counts(project=barn.project, user=barn.admin)
    words = {"step": replace(step, number=1 if step.page == "run" else None), "counts": counts}
    shown = render_to_string("home/next_step.html", words | {"project": barn.project})
    assert ("Nothing waits for you" in shown) == (step.key == "wait")
    assert shown.count("<h2") == 1
