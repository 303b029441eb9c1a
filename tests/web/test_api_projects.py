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


NEW = {"name": "Hen House", "concepts": ["hen", "egg"]}


def _project_post(client, body):
    return client.post("/api/v1/projects/", body, format="json")


def test_new_project_is_its_maker_s_with_the_concepts_asked_for(barn, api):
    answer = _project_post(api(barn.admin), NEW)
    assert answer.status_code == 201
    assert_as_described(answer)
    told = answer.json()
    assert (told["slug"], told["role"], told["serving_version"]) == ("hen-house", "admin", "demo")
    assert [one["name"] for one in told["concepts"]] == ["hen", "egg"]
    assert api(barn.admin).get("/api/v1/projects/hen-house/").json() == told
    assert api(barn.annotator).get("/api/v1/projects/hen-house/").status_code == 404
    assert Project.objects.get(slug="hen-house").audit_events.filter(action="project.create").exists()


def test_second_project_of_a_name_has_an_address_of_its_own(barn, api):
    slugs = [_project_post(api(barn.admin), NEW).json()["slug"] for _ in range(2)]
    assert slugs == ["hen-house", "hen-house-2"]


@pytest.mark.parametrize("who", ["annotator", "reviewer"])
def test_who_is_no_admin_anywhere_makes_no_project(barn, api, who):
    answer = _project_post(api(getattr(barn, who)), NEW)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert Project.objects.count() == 1


def test_superuser_makes_the_first_project(barn, api):
    barn.outsider.is_superuser = True
    barn.outsider.save()
    assert _project_post(api(barn.outsider), NEW).status_code == 201


@pytest.mark.parametrize(
    "change",
    [
        *({"name": ""}, {"name": "!!!"}, {"name": "x" * 81}, {"name": ["a"]}),
        *({"concepts": []}, {"concepts": "hen"}, {"concepts": [""]}, {"concepts": ["x" * 81]}),
    ],
)
def test_wrong_project_is_refused_in_the_one_error_shape_and_leaves_nothing(barn, api, change):
    answer = _project_post(api(barn.admin), NEW | change)
    assert answer.status_code == 400, answer.json()
    assert_as_described(answer)
    assert set(answer.json()["error"]) == {"code", "message", "fields"}
    assert Project.objects.count() == 1


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
