"""Who gets which answer from every API operation: the table is the policy, the list of operations is the URL list."""

import json

import pytest
from django.urls import URLPattern, get_resolver, reverse

from annotator.api_urls import urlpatterns
from annotator.common.errors import RoostError
from annotator.models import BulkAction, Evaluation, Membership, Task
from annotator.people.services import member_set
from annotator.people.tokens import token_create
from tests import factories

OPEN = {"api-schema", "api-unknown"}
METHODS = {"api-projects": ("get", "post"), "api-project": ("get",), "api-reviews": ("get",), "api-task": ("get",)}
METHODS |= dict.fromkeys(("api-certain", "api-concepts", "api-progress", "api-annotation", "api-job"), ("get",))
METHODS |= {"api-curve": ("get",)}
METHODS |= {"api-draft": ("put", "delete")}
METHODS |= {"api-job-file": ("get",), "api-splits": ("get",), "api-snapshot": ("get", "patch")}
METHODS |= {"api-snapshot-diff": ("get",)}
METHODS |= dict.fromkeys(("api-images", "api-feeds", "api-snapshots", "api-evaluations"), ("get", "post"))
METHODS |= dict.fromkeys(("api-gates", "api-gate-decision", "api-evaluation", "api-compare"), ("get",))
METHODS |= dict.fromkeys(("api-models", "api-model-learnt", "api-annotation-models"), ("get",))
METHODS |= {"api-model": ("get", "patch"), "api-frames": ("get", "post")}
# The least role that is not told 403. Everything else of a stranger's project is 404.
POLICY = {
    "api-projects": "anybody",
    "api-project": "annotator",
    "api-progress": "annotator",
    "api-curve": "annotator",
    "api-claim": "annotator",
    "api-frames": "annotator",
    "api-task": "reviewer",  # or the task's own people
    "api-heartbeat": "annotator",
    "api-release": "annotator",
    "api-skip": "annotator",
    "api-click": "reviewer",  # or its holder
    "api-similar": "reviewer",
    "api-mask": "reviewer",
    "api-draft": "annotator",
    "api-submit": "annotator",
    "api-reopen": "annotator",
    "api-reassign": "reviewer",
    "api-reviews": "reviewer",
    "api-certain": "reviewer",
    "api-approve": "reviewer",
    "api-annotation": "reviewer",  # or its author
    "api-review": "reviewer",
    "api-job": "annotator",
    "api-job-cancel": "admin",
    "api-job-file": "reviewer",  # an export's; a prediction's is any member's
    "api-concepts": "annotator",
    "api-concept-rename": "admin",
    "api-concept-merge": "admin",
    "api-concept-retire": "admin",
    "api-concept-restore": "admin",
    "api-mine": "admin",
    "api-suspects": "admin",
    "api-second-labels": "admin",
    "api-incomplete": "admin",
    "api-snapshots": "annotator",
    "api-snapshot": "annotator",
    "api-snapshot-publish": "admin",
    "api-snapshot-diff": "annotator",  # unless they may be asked what is in it
    "api-images": "annotator",
    "api-images-act": "reviewer",
    "api-change-undo": "admin",  # or the reviewer who did it
    "api-imports": "admin",
    "api-import-undo": "admin",
    "api-boxes": "admin",
    "api-exports": "reviewer",
    "api-label-studio-pushes": "admin",
    "api-feeds": "annotator",
    "api-splits": "annotator",
    "api-splits-mend": "admin",
    "api-holdout": "admin",
    "api-retrain": "admin",
    "api-predict": "admin",
    "api-gate": "admin",
    "api-gates": "annotator",
    "api-gate-decision": "annotator",
    "api-evaluations": "annotator",
    "api-evaluation": "annotator",
    "api-compare": "annotator",
    "api-models": "annotator",
    "api-model": "annotator",
    "api-model-learnt": "reviewer",
    "api-annotation-models": "reviewer",  # or its author
    "api-promote": "admin",
    "api-rollback": "admin",
}
# Where writing wants more than reading.
WRITES = dict.fromkeys(("api-projects", "api-snapshots", "api-snapshot", "api-images", "api-feeds"), "admin")
WRITES |= dict.fromkeys(("api-evaluations", "api-model"), "admin")
# What the rows of these tests can't do for the address, though the role may: there is nothing to undo, diff or send.
NOTHING_THERE = {"no_run", "no_previous", "no_export", "absent_package", "snapshot_gone"}
RANK = ["anybody", "annotator", "reviewer", "admin"]
ROUTES = [pattern.name for pattern in urlpatterns if isinstance(pattern, URLPattern) and pattern.name not in OPEN]
OPERATIONS = [(name, method) for name in ROUTES for method in METHODS.get(name, ("post",))]


@pytest.fixture
def rows(barn) -> dict[str, object]:
    """One row for each kind of id, none of it the annotator's own."""
    task = factories.make_task(barn.project, holder=barn.admin)
    done = factories.make_annotation(factories.make_task(barn.project), barn.admin)
    job = factories.make_job(barn.project, state="succeeded")
    ids = {"task_id": task.pk, "annotation_id": done.pk, "job_id": job.pk, "concept_id": barn.chicken.pk}
    snapshot = factories.make_snapshot(barn.project)
    change = BulkAction.objects.create(project=barn.project, user=barn.admin, kind="queue", done=1)
    gate = factories.make_gate(factories.make_training_run(barn.project, version=factories.make_version("barn-v1")))
    judged = Evaluation.objects.create(project=barn.project, version=gate.champion, snapshot=snapshot, split="test")
    more = {"number": snapshot.number, "other": str(snapshot.number), "change_id": change.pk}
    more |= {"gate_id": gate.pk, "evaluation_id": judged.pk, "name": gate.champion.name}
    return {"slug": barn.project.slug, **ids, **more}


def least_role(name: str, method: str) -> str:
    return POLICY[name] if method == "get" else WRITES.get(name, POLICY[name])


def call(client, name: str, method: str, ids: dict):
    pattern = next(one for one in urlpatterns if one.name == name)
    path = reverse(name, kwargs={key: ids[key] for key in pattern.pattern.converters})
    return getattr(client, method)(path, {}, format="json")


def test_every_operation_is_in_the_policy():
    assert set(ROUTES) == set(POLICY)


@pytest.mark.parametrize(("name", "method"), OPERATIONS)
def test_signed_out_is_401(rows, api, name, method):
    assert call(api(None), name, method, rows).status_code == 401


@pytest.mark.parametrize(("name", "method"), [one for one in OPERATIONS if one[0] != "api-projects"])
def test_outsider_gets_404_for_a_row_that_exists_and_for_one_that_does_not(barn, rows, api, name, method):
    missing = dict.fromkeys((*rows, "number"), 10**6) | {"slug": "nowhere", "other": "1000000", "name": "nothing"}
    foreign, absent = (call(api(barn.outsider), name, method, ids) for ids in (rows, missing))
    assert (foreign.status_code, absent.status_code) == (404, 404)
    assert foreign.json() == absent.json()


def test_outsider_sees_no_projects(barn, api):
    assert api(barn.outsider).get("/api/v1/projects/").json() == []


@pytest.mark.parametrize(("name", "method"), OPERATIONS)
@pytest.mark.parametrize("role", ["annotator", "reviewer", "admin"])
def test_role_below_the_policy_is_403_and_from_it_on_is_not(barn, rows, api, no_backend, name, method, role):
    user = factories.make_member(barn.project, role=role)
    answer = call(api(user), name, method, rows)
    allowed = RANK.index(role) >= RANK.index(least_role(name, method))
    assert (answer.status_code != 403) == allowed, answer.content
    assert answer.status_code not in (404, 405, 500) or answer.json()["error"]["code"] in NOTHING_THERE


@pytest.mark.parametrize(("name", "method"), OPERATIONS)
def test_other_methods_are_405(barn, rows, api, name, method):
    unused = [one for one in ("get", "post", "put", "patch", "delete") if one not in METHODS.get(name, ("post",))]
    assert {call(api(barn.admin), name, one, rows).status_code for one in unused} == {405}


def test_get_on_every_address_changes_nothing(barn, rows, api):
    before = list(Task.objects.order_by("pk").values())
    for name in ROUTES:
        call(api(barn.admin), name, "get", rows)
    assert list(Task.objects.order_by("pk").values()) == before


def test_post_without_the_csrf_token_is_403(barn, rows):
    from rest_framework.test import APIClient

    client = APIClient(enforce_csrf_checks=True)
    client.force_login(barn.admin)
    assert call(client, "api-mine", "post", rows).status_code == 403


def test_removed_member_is_an_outsider_from_the_next_request_on(barn, rows, api):
    client = api(barn.annotator)
    assert call(client, "api-project", "get", rows).status_code == 200
    member_set(project=barn.project, member=barn.annotator, role=None, user=barn.admin)
    assert call(client, "api-project", "get", rows).status_code == 404


def test_deactivated_person_is_signed_out_by_session_and_by_token(barn, rows, api):
    token = token_create(user=barn.annotator, name="script")
    with_token = api(None)
    with_token.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    with_session = api(barn.annotator)
    assert call(with_token, "api-project", "get", rows).status_code == 200
    barn.annotator.is_active = False
    barn.annotator.save()
    assert call(with_token, "api-project", "get", rows).status_code == 401
    assert call(with_session, "api-project", "get", rows).status_code == 401


def test_last_admin_can_not_leave(barn):
    with pytest.raises(RoostError, match="needs an admin"):
        member_set(project=barn.project, member=barn.admin, role=Membership.Role.ANNOTATOR, user=barn.admin)
    assert barn.project.memberships.get(user=barn.admin).role == "admin"


def test_image_of_another_project_is_404_even_to_members_elsewhere(barn, api):
    image = factories.make_image(barn.project)
    factories.make_project(barn.outsider, "Coop", slug="coop")
    client = api(barn.outsider)
    assert client.get(f"/media/barn/{image.sha256}").status_code == 404
    assert client.get(f"/media/coop/{image.sha256}").status_code == 404
    assert api(barn.annotator).get(f"/media/barn/{image.sha256}").status_code == 200


def test_deeply_nested_or_not_a_number_body_is_400(barn, rows, api):
    path = reverse("api-claim", kwargs={"slug": "barn"})
    wrong = ["[" * 100_000, '{"after": NaN}', '{"after": 1e400}', "{", '{"after": 99999999999999999999}']
    for body in [*wrong, r'{"after": "\u0000"}', r'{"after": "\ud800"}']:
        assert api(barn.annotator).post(path, body, content_type="application/json").status_code == 400


def test_body_beyond_the_limit_is_413(barn, rows, api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    path = reverse("api-draft", kwargs={"task_id": rows["task_id"]})
    answer = api(barn.annotator).put(path, {"version": 0, "payload": {"x": "a" * 100}}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_unknown_address_below_the_api_answers_in_the_one_shape(barn, api):
    answer = api(barn.annotator).get("/api/v1/nothing/here")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_our_own_failure_answers_in_the_one_shape(rf):
    answer = get_resolver().resolve_error_handler(500)(rf.get("/api/v1/projects/"))
    assert (answer.status_code, json.loads(answer.content)["error"]["code"]) == (500, "internal")


def test_schema_and_its_page_are_served(api):
    assert api(None).get("/api/v1/schema/").status_code == 200
    assert b"swagger" in api(None).get("/api/docs/").content.lower()
