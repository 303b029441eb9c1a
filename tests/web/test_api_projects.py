"""Projects, jobs and the admin's actions over the API."""

import pytest

from annotator.models import Job, Project
from tests import factories
from tests.openapi import assert_as_described
from tests.web.test_promotion import judged


def test_project_shows_role_stations_and_thresholds(barn, api):
    factories.make_task(barn.project)
    answer = api(barn.annotator).get("/api/v1/projects/barn/")
    assert_as_described(answer)
    shown = answer.json()
    assert (shown["role"], shown["serving_version"], shown["tasks"]["queued"]) == ("annotator", "demo", 1)
    assert shown["thresholds"]["presence_low"] == 0.4


def test_mining_starts_a_job_once(barn, api):
    factories.make_pair(barn.project)
    client = api(barn.admin)
    first = client.post("/api/v1/projects/barn/mine")
    assert (first.status_code, first.json()["kind"], first.json()["state"]) == (202, "mine", "queued")
    assert_as_described(first)
    second = client.post("/api/v1/projects/barn/mine")
    assert (second.status_code, second.json()["error"]["code"]) == (409, "already_running")


def test_waiting_job_is_cancelled_at_once(barn, api):
    job = factories.make_job(barn.project)
    client = api(barn.admin)
    assert client.post(f"/api/v1/jobs/{job.pk}/cancel").json()["state"] == "cancelled"
    assert client.get(f"/api/v1/jobs/{job.pk}").json()["state"] == "cancelled"


def test_snapshot_of_nothing_is_refused_with_a_sentence(barn, api):
    answer = api(barn.admin).post("/api/v1/projects/barn/snapshots")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "nothing_approved")
    assert not Job.objects.exists()


@pytest.mark.parametrize("config", [{"snapshot": "../../etc"}, {"base_model": "/x"}, {"steps": [1]}])
def test_retrain_config_can_not_reach_beyond_its_settings(barn, api, config):
    factories.make_pair(barn.project, truth="absent")
    answer = api(barn.admin).post("/api/v1/projects/barn/retrain", {"config": config}, format="json")
    assert answer.status_code == 400
    assert not Job.objects.exists()


def test_promote_and_rollback_answer_what_serves(tiny_barn, api):
    judged(tiny_barn)
    tiny_barn.project.deployments.update(version=tiny_barn.project.serving_version)
    client = api(tiny_barn.admin)
    assert client.post("/api/v1/projects/barn/promote", {"version": "other"}, format="json").json() == {
        "serving_version": "other"
    }
    assert client.post("/api/v1/projects/barn/rollback").json() == {"serving_version": "tiny"}
    again = client.post("/api/v1/projects/barn/rollback")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "no_previous")


def test_promote_of_what_the_gate_rejected_is_409(tiny_barn, api):
    judged(tiny_barn, decision="reject")
    answer = api(tiny_barn.admin).post("/api/v1/projects/barn/promote", {"version": "other"}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "gate_not_passed")


def test_version_of_another_project_is_404(barn, api):
    coop = factories.make_project(barn.outsider, "Coop", slug="coop")
    factories.make_version("coop-v1", project=coop)
    answer = api(barn.admin).post("/api/v1/projects/barn/promote", {"version": "coop-v1"}, format="json")
    assert answer.status_code == 404
    assert Project.objects.get(slug="barn").serving_version.name == "demo"
