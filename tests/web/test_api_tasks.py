"""The annotator's round over the API: claim, click, draft, submit, and what is refused."""

import uuid

import pytest

from annotator.common.errors import RoostError
from annotator.common.instances import instances_from_wire
from annotator.models import Annotation, AuditEvent, Draft, Task
from tests import factories
from tests.openapi import assert_as_described
from tests.web.test_submit import wire_instance


@pytest.fixture
def queued(barn) -> Task:
    return factories.make_task(barn.project)


@pytest.fixture
def held(barn) -> Task:
    return factories.make_task(barn.project, holder=barn.annotator)


def submission(**fields) -> dict:
    answer = {"verdict": "present", "instances": [wire_instance()], "active_seconds": 2.4}
    return {"attempt": 1, "client_uuid": str(uuid.uuid4())} | answer | fields


def test_claim_answers_the_whole_task_as_the_schema_says(barn, api, queued):
    answer = api(barn.annotator).post("/api/v1/projects/barn/claim", {"after": None}, format="json")
    task = answer.json()
    assert answer.status_code == 200
    assert_as_described(answer)
    assert task["proposal"]["instances"][0]["mask"]["crop_xywh"] == [2, 3, 7, 7]
    assert (task["concept"]["name"], task["serving_version"], task["attempt"]) == ("chicken", "demo", 1)


def test_claim_without_a_task_left_answers_204(barn, api):
    assert api(barn.annotator).post("/api/v1/projects/barn/claim", {}, format="json").status_code == 204


def test_image_address_in_the_task_serves_the_image(barn, api, queued):
    client = api(barn.annotator)
    task = client.post("/api/v1/projects/barn/claim", {}, format="json").json()
    answer = client.get(task["image"]["url"])
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")


def test_heartbeat_release_and_skip_follow_the_lease(barn, api, held):
    client = api(barn.annotator)
    beat = client.post(f"/api/v1/tasks/{held.pk}/heartbeat", {"attempt": 1}, format="json")
    assert "lease_until" in beat.json()
    skipped = client.post(f"/api/v1/tasks/{held.pk}/skip", {"attempt": 1, "reason": "dark"}, format="json")
    assert skipped.json() == {"state": "queued"}
    late = client.post(f"/api/v1/tasks/{held.pk}/release", {"attempt": 1}, format="json")
    assert (late.status_code, late.json()["error"]["code"]) == (409, "lease_lost")


def test_submit_twice_answers_the_same_annotation(barn, api, held):
    client, body = api(barn.annotator), submission()
    first = client.post(f"/api/v1/tasks/{held.pk}/submit", body, format="json")
    second = client.post(f"/api/v1/tasks/{held.pk}/submit", body, format="json")
    assert first.json() == second.json() == {"annotation": Annotation.objects.get().pk, "state": "submitted"}


def test_late_submit_is_409_and_shows_up_as_draft(barn, api, held):
    Task.objects.update(holder=barn.reviewer, attempt=2)
    answer = api(barn.annotator).post(f"/api/v1/tasks/{held.pk}/submit", submission(), format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "lease_lost")
    task = api(barn.annotator).get(f"/api/v1/tasks/{held.pk}").json()
    assert task["draft"]["payload"]["submission"]["verdict"] == "present"


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempt": "x"},
        {"client_uuid": "1"},
        {"verdict": "maybe"},
        {"instances": "many"},
        {"instances": [wire_instance() | {"mask": {"size": [16, 16], "crop_xywh": [0, 0, 9, 9], "counts": "~~~"}}]},
        {"active_seconds": -1},
        {"rejected_proposals": [99]},
    ],
)
def test_wrong_submission_is_400_with_a_sentence_and_changes_nothing(barn, api, held, wrong):
    answer = api(barn.annotator).post(f"/api/v1/tasks/{held.pk}/submit", submission(**wrong), format="json")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith((".", ")"))
    assert not Annotation.objects.exists()


def test_draft_versions_guard_against_a_second_tab(barn, api, held):
    client, path = api(barn.annotator), f"/api/v1/tasks/{held.pk}/draft"
    assert client.put(path, {"version": 0, "payload": {"a": 1}}, format="json").json() == {"version": 1}
    assert client.put(path, {"version": 1, "payload": {"a": 2}}, format="json").json() == {"version": 2}
    stale = client.put(path, {"version": 1, "payload": {"a": 3}}, format="json")
    assert stale.status_code == 409
    assert stale.json()["error"]["fields"] == {"version": 2, "payload": {"a": 2}}
    assert client.delete(path).status_code == 204
    assert not Draft.objects.exists()


def test_body_can_not_set_what_is_not_the_callers(barn, api, held):
    other = factories.make_task(barn.project)
    body = submission(author=barn.admin.pk, task=other.pk, state="approved", round=9, revision=7, holder=barn.admin.pk)
    api(barn.annotator).post(f"/api/v1/tasks/{held.pk}/submit", body, format="json")
    stored = Annotation.objects.get()
    assert (stored.author, stored.task, stored.revision) == (barn.annotator, held, 1)
    held.refresh_from_db()
    assert (held.state, held.round) == ("submitted", 1)


def test_click_answers_with_the_version_that_serves_now(tiny_barn, api, picture):
    pair = factories.make_pair(tiny_barn.project, image=picture(tiny_barn.project, 1))
    task = factories.make_task(tiny_barn.project, pair, predicted=False, holder=tiny_barn.annotator)
    body = {"points": [{"x": 80, "y": 60, "label": 1}], "box": None, "earlier_mask_id": None, "sequence": 1}
    client = api(tiny_barn.annotator)
    first = client.post(f"/api/v1/tasks/{task.pk}/click", body, format="json")
    assert (first.status_code, first.json()["model_version"]) == (200, "tiny")
    assert_as_described(first)
    tiny_barn.project.serving_version = factories.make_version("other")
    tiny_barn.project.save()
    second = client.post(f"/api/v1/tasks/{task.pk}/click", body | {"sequence": 2}, format="json")
    assert second.json()["model_version"] == "other"


def test_click_with_the_backend_away_is_503_with_a_way_out(barn, api, held, no_backend):
    body = {"points": [{"x": 3, "y": 3, "label": 1}]}
    answer = api(barn.annotator).post(f"/api/v1/tasks/{held.pk}/click", body, format="json")
    assert answer.status_code == 503
    assert "draw by hand" in answer.json()["error"]["message"]


def test_click_is_for_the_holder_and_reviewers(barn, api, held, no_backend):
    body = {"points": [{"x": 3, "y": 3, "label": 1}]}
    other = factories.make_member(barn.project)
    assert api(other).post(f"/api/v1/tasks/{held.pk}/click", body, format="json").status_code == 403
    assert api(barn.reviewer).post(f"/api/v1/tasks/{held.pk}/click", body, format="json").status_code == 503


def test_task_of_somebody_else_is_hidden_from_annotators(barn, api, held):
    other = factories.make_member(barn.project)
    assert api(other).get(f"/api/v1/tasks/{held.pk}").status_code == 403
    assert api(barn.reviewer).get(f"/api/v1/tasks/{held.pk}").status_code == 200


def test_author_reopens_over_the_api(barn, api, held):
    client = api(barn.annotator)
    client.post(f"/api/v1/tasks/{held.pk}/submit", submission(), format="json")
    answer = client.post(f"/api/v1/tasks/{held.pk}/reopen")
    assert answer.json()["state"] == "claimed"
    assert answer.json()["annotation"]["id"] == Annotation.objects.get().pk


def test_every_submission_is_in_the_audit_log(barn, api, held):
    api(barn.annotator).post(f"/api/v1/tasks/{held.pk}/submit", submission(), format="json")
    event = AuditEvent.objects.get(action="task.submit")
    assert (event.actor, event.subject) == (barn.annotator, str(held.pk))


def wrong_boxes() -> list:
    return [[1, 2, 3], [5, 5, 5, 9], [0, 0, 17, 9], [-1, 0, 4, 4], [0, 0, float("inf"), 4], ["a", 0, 4, 4], None]


@pytest.mark.parametrize("box", wrong_boxes(), ids=str)
def test_instance_with_a_box_that_is_none_is_refused_by_name(barn, box):
    wire = wire_instance() | {"prompts": [{"x": 3, "y": 3, "label": 1}, {"box": box}]}
    with pytest.raises(RoostError, match="Instance 1"):
        instances_from_wire([wire], image=factories.make_image(barn.project))


def test_box_and_points_are_stored_in_the_order_in_which_they_were_given(barn, api, held):
    prompts = [{"box": [1, 2, 9.5, 8]}, {"x": 3, "y": 3, "label": 0}]
    body = submission(instances=[wire_instance() | {"prompts": prompts}])
    assert api(barn.annotator).post(f"/api/v1/tasks/{held.pk}/submit", body, format="json").status_code == 200
    assert Annotation.objects.get().instances[0]["prompts"] == prompts
    shown = api(barn.annotator).get(f"/api/v1/annotations/{Annotation.objects.get().pk}").json()
    assert shown["annotation"]["instances"][0]["prompts"] == prompts


def test_similar_answers_what_the_examples_find_by_the_version_that_serves(tiny_barn, api, picture, backend):
    image = picture(tiny_barn.project, 1)
    pair = factories.make_pair(tiny_barn.project, image=image)
    task = factories.make_task(tiny_barn.project, pair, predicted=False, holder=tiny_barn.annotator)
    exemplars = [{"box": [20.0, 24.0, 70.0, 80.0], "label": 1}, {"box": [100.0, 10.0, 150.0, 60.0], "label": 0}]
    body = {"exemplars": exemplars}
    answer = api(tiny_barn.annotator).post(f"/api/v1/tasks/{task.pk}/similar", body, format="json")
    assert_as_described(answer)
    asked = {"model_version": "tiny", "images": [image.sha256], "concepts": ["chicken"], "score_threshold": 0.3}
    [concept] = backend.post("/v1/predict", asked | {"exemplar_boxes": [exemplars]})["results"][0]["concepts"]
    assert answer.json()["presence"] == pytest.approx(concept["presence"])
    assert [one["score"] for one in answer.json()["instances"]] == [one["score"] for one in concept["instances"]]
    assert answer.json()["instances"]


@pytest.mark.parametrize(
    "exemplars", [[], [{"box": [1, 2]}], [{"box": [0, 0, 4, 4], "label": 2}], "all", [{"box": [0, 0, 4, 4]}] * 17]
)
def test_wrong_exemplars_are_400(barn, api, held, exemplars):
    answer = api(barn.annotator).post(f"/api/v1/tasks/{held.pk}/similar", {"exemplars": exemplars}, format="json")
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("verb", "body"),
    [("similar", {"exemplars": [{"box": [1, 1, 9, 9]}]}), ("mask", {"mask_id": "a", "threshold": 1})],
)
def test_help_of_the_model_is_for_the_holder_and_reviewers(barn, api, held, no_backend, verb, body):
    path, outsider = f"/api/v1/tasks/{held.pk}/{verb}", barn.outsider
    other = factories.make_member(barn.project)
    statuses = [api(who).post(path, body, format="json").status_code for who in (outsider, other, barn.annotator)]
    assert statuses == [404, 403, 503]
