"""The reviewer's list and decision over the API."""

import pytest

from annotator.common.masks import rle_to_wire
from annotator.models import Annotation, Pair
from tests import factories
from tests.openapi import assert_as_described


@pytest.fixture
def waiting(barn) -> Annotation:
    return factories.make_annotation(factories.make_task(barn.project), barn.annotator)


def decide(api, user, annotation, **body):
    return api(user).post(f"/api/v1/annotations/{annotation.pk}/review", body, format="json")


def test_list_shows_what_waits_oldest_first(barn, api, waiting):
    later = factories.make_annotation(factories.make_task(barn.project), barn.annotator, "absent")
    listed = api(barn.reviewer).get("/api/v1/projects/barn/reviews/")
    assert [row["id"] for row in listed.json()] == [waiting.pk, later.pk]
    assert_as_described(listed)


def test_only_the_newest_revision_waits(barn, api, waiting):
    second = factories.make_annotation(waiting.task, barn.annotator)
    rows = api(barn.reviewer).get("/api/v1/projects/barn/reviews/").json()
    assert [row["id"] for row in rows] == [second.pk]


def test_annotation_comes_with_the_proposal_and_how_far_apart_they_are(barn, api):
    # Proposed: columns 2-8, rows 3-9 (49 px). Answered: columns 4-10, rows 3-9 (49 px); 35 px in common, 63 in all.
    task = factories.make_task(barn.project)
    answer = factories.make_instance(factories.box_rle(4, 3, 11, 10))
    annotation = factories.make_annotation(task, barn.annotator, instances=[answer])
    told = api(barn.reviewer).get(f"/api/v1/annotations/{annotation.pk}")
    shown = told.json()
    assert shown["difference"] == {"iou": pytest.approx(35 / 63), "added_px": 14, "removed_px": 14}
    assert shown["annotation"]["instances"][0]["mask"] == rle_to_wire(factories.box_rle(4, 3, 11, 10))
    assert_as_described(told)


def test_approval_over_the_api_settles_the_pair(barn, api, waiting):
    answer = decide(api, barn.reviewer, waiting, decision="approve")
    assert (answer.status_code, answer.json()["state"]) == (200, "approved")
    assert Pair.objects.get().truth == "present"


def test_comment_and_pin_reach_the_author(barn, api, waiting):
    decide(api, barn.reviewer, waiting, decision="send_back", comment="The tail.", pin={"x": 5, "y": 6})
    task = api(barn.annotator).post("/api/v1/projects/barn/claim", {}, format="json").json()
    assert task["returned"] == {
        "comment": "The tail.",
        "pin": {"x": 5.0, "y": 6.0},
        "reviewer": "reviewer",
        "annotation": waiting.pk,
    }


def test_second_decision_is_409(barn, api, waiting):
    decide(api, barn.reviewer, waiting, decision="approve")
    answer = decide(api, barn.admin, waiting, decision="approve")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "already_reviewed")


def test_own_work_is_403_with_a_reason(barn, api):
    own = factories.make_annotation(factories.make_task(barn.project), barn.reviewer)
    answer = decide(api, barn.reviewer, own, decision="approve")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "own_work")


def test_author_sees_their_answer_but_may_not_decide(barn, api, waiting):
    assert api(barn.annotator).get(f"/api/v1/annotations/{waiting.pk}").status_code == 200
    assert decide(api, barn.annotator, waiting, decision="approve").status_code == 403


@pytest.mark.parametrize("body", [{}, {"decision": "perhaps"}, {"decision": "send_back"}, {"decision": "fix"}])
def test_incomplete_decision_is_400_and_changes_nothing(barn, api, waiting, body):
    assert decide(api, barn.reviewer, waiting, **body).status_code == 400
    assert Pair.objects.get().truth == "unseen"
