"""Bulk approval: which answers it offers, and approving them."""

import pytest
from django.urls import reverse

from annotator.common.chance import task_is_drawn
from annotator.models import Annotation, AuditEvent, Image, Pair, Review, Task
from annotator.queue.doubles import doubles_add
from annotator.review.bulk_approval import reviews_approve
from annotator.review.bulk_candidates import answers_for_bulk, bulk_looked_at
from annotator.review.decisions import review_decide
from tests import factories

BULK = reverse("reviews-certain", args=["barn"])
APPROVE = reverse("api-approve", args=["barn"])
WHOLE, MOST, HALF = (2, 3, 9, 10), (2, 3, 8, 10), (2, 3, 5, 10)  # of 49 px: 42 (IoU 0.86) and 21 (0.43)


@pytest.fixture
def barn(barn) -> factories.Barn:
    """Nothing is kept back by chance, so that the rule itself shows."""
    barn.project.bulk_look_share = 0.0
    barn.project.save()
    return barn


def answer(barn, box=WHOLE, *, presence=0.95, score=0.9, author=None, detected=(WHOLE,), **task) -> Annotation:
    """An answer of one box, or absent for None, where the serving model detects boxes with that score."""
    pair = factories.make_pair(barn.project)
    shared = {"box": [2, 3, 9, 10], "score": score, "query_score": 0.95, "stability": 0.9}
    factories.make_prediction(pair, presence, [shared | {"mask": factories.box_rle(*one)} for one in detected])
    instances = [factories.make_instance(factories.box_rle(*box))] if box else []
    verdict = "present" if box else "absent"
    row = factories.make_task(barn.project, pair, **task)
    return factories.make_annotation(row, author or barn.annotator, verdict, instances)


def offered(barn, user=None) -> list[int]:
    return [row.pk for row in answers_for_bulk(project=barn.project, user=user or barn.reviewer)[0]]


def test_answers_that_the_model_shares_with_confidence_are_for_bulk_approval(barn):
    there, absent = answer(barn), answer(barn, None, presence=0.1, detected=())
    assert offered(barn) == [there.pk, absent.pk]


@pytest.mark.parametrize(
    "doubt",
    [
        {"presence": 0.7, "score": 0.66},
        {"score": 0.75},
        {"box": MOST},
        {"detected": (WHOLE, (11, 11, 15, 15))},
        {"detected": ()},
        {"box": None},
        {"box": None, "presence": 0.3, "detected": ()},
        {"lane": Task.Reason.SUSPECTED_LABEL},
        {"lane": Task.Reason.MANUAL},
    ],
)
def test_anything_less_is_looked_at_by_itself(barn, doubt):
    answer(barn, **doubt)
    assert offered(barn) == []


def test_thresholds_are_the_project_s(barn):
    row = answer(barn, MOST, presence=0.8, score=0.7)
    barn.project.bulk_score, barn.project.bulk_iou = 0.6, 0.8
    assert offered(barn) == [row.pk]


def test_model_that_has_not_seen_the_pair_vouches_for_nothing(barn):
    answer(barn)
    barn.project.serving_version = factories.make_version("barn-v2")
    barn.project.save()
    assert offered(barn) == []


def test_no_model_vouches_for_the_holdout(barn):
    row = answer(barn)
    Image.objects.filter(pk=row.pair.image_id).update(split=Image.Split.HOLDOUT)
    assert offered(barn) == []


def test_what_was_sent_back_once_is_looked_at_by_itself(barn):
    first = answer(barn)
    review_decide(annotation=first, reviewer=barn.reviewer, decision="send_back", comment="The tail.")
    factories.make_annotation(first.task, barn.annotator)
    assert offered(barn) == []


def test_own_work_is_left_out(barn):
    own = answer(barn, author=barn.reviewer)
    assert offered(barn) == []
    assert offered(barn, barn.admin) == [own.pk]


def test_doubles_are_compared_by_eye(barn):
    row = answer(barn)
    barn.project.double_share = 1.0
    (second,) = doubles_add(project=barn.project, tasks=[row.task])
    factories.make_annotation(second, barn.admin)
    assert offered(barn) == []


def test_share_kept_back_for_eyes_is_about_what_was_set(barn):
    kept = sum(task_is_drawn(task_id=number, share=0.25, draw="look") for number in range(400))
    assert 70 < kept < 130
    barn.project.bulk_look_share = 1.0
    answer(barn)
    assert offered(barn) == []


def test_draw_for_eyes_tells_how_often_bulk_approval_is_wrong(barn, signed_in):
    for number in range(10):
        fields = {"decision": "send_back", "comment": "No."} if number < 2 else {"decision": "approve"}
        review_decide(annotation=answer(barn), reviewer=barn.reviewer, **fields)
    review_decide(annotation=answer(barn, HALF), reviewer=barn.reviewer, decision="send_back", comment="No.")
    reviews_approve(project=barn.project, reviewer=barn.reviewer, annotations=[answer(barn).pk])
    # None of these was drawn: whoever decides on them one by one has a reason, and they tell nothing of the others.
    assert bulk_looked_at(project=barn.project).total == 0
    barn.project.bulk_look_share = 1.0
    barn.project.save()
    found = bulk_looked_at(project=barn.project)
    assert (found.changed, found.total) == (2, 10)
    # Wilson, 2 of 10: 0.057 to 0.510.
    assert "20 %; 95 % interval 6 % – 51 %" in signed_in(barn.reviewer).get(BULK).content.decode()


def test_each_approved_one_has_its_review_and_record_and_settles_its_pair(barn):
    rows = [answer(barn), answer(barn, None, presence=0.1, detected=())]
    outcomes = reviews_approve(project=barn.project, reviewer=barn.reviewer, annotations=[row.pk for row in rows])
    assert [one.approved for one in outcomes] == [True, True]
    assert [row.reviewer for row in Review.objects.order_by("annotation")] == [barn.reviewer] * 2
    assert list(Pair.objects.order_by("pk").values_list("truth", flat=True)) == ["present", "absent"]
    events = AuditEvent.objects.filter(action="review.decide").order_by("pk")
    assert [(event.subject, event.details["together"]) for event in events] == [(str(r.task_id), True) for r in rows]


def test_what_somebody_decided_meanwhile_is_skipped_and_said(barn, api):
    mine, theirs, doubtful, own = answer(barn), answer(barn), answer(barn, HALF), answer(barn, author=barn.reviewer)
    review_decide(annotation=theirs, reviewer=barn.admin, decision="send_back", comment="The beak.")
    asked = [mine.pk, theirs.pk, doubtful.pk, own.pk, 999_999, mine.pk]
    got = api(barn.reviewer).post(APPROVE, {"annotations": asked}, format="json").json()["results"]
    codes = [(row["annotation"], row["approved"], row["code"]) for row in got]
    assert codes == [
        (mine.pk, True, ""),
        (theirs.pk, False, "already_reviewed"),
        (doubtful.pk, False, "not_certain"),
        (own.pk, False, "own_work"),
        (999_999, False, "unknown_annotation"),
    ]
    assert Review.objects.get(annotation=theirs).decision == "send_back"


def test_answer_of_another_project_is_unknown(barn):
    row = answer(barn)
    other = factories.make_project(barn.reviewer, "Other")
    (outcome,) = reviews_approve(project=other, reviewer=barn.reviewer, annotations=[row.pk])
    assert (outcome.approved, outcome.code) == (False, "unknown_annotation")


@pytest.mark.parametrize("body", [{}, {"annotations": []}, {"annotations": ["x"]}, {"annotations": [1] * 201}])
def test_approval_without_a_list_is_refused(barn, api, body):
    assert api(barn.reviewer).post(APPROVE, body, format="json").status_code == 400


@pytest.mark.parametrize(("who", "status"), [("annotator", 403), ("outsider", 404), (None, 401)])
def test_approval_is_the_reviewers_alone(barn, api, who, status):
    row = answer(barn)
    client = api(getattr(barn, who) if who else None)
    assert client.post(APPROVE, {"annotations": [row.pk]}, format="json").status_code == status
    assert client.get(reverse("api-certain", args=["barn"])).status_code == status
    assert not Review.objects.exists()


def test_api_lists_what_may_be_approved_in_bulk(barn, api):
    row = answer(barn)
    answer(barn, HALF)
    got = api(barn.reviewer).get(reverse("api-certain", args=["barn"])).json()
    assert [(one["id"], one["barred"]) for one in got] == [(row.pk, None)]


def test_grid_approves_what_is_left_selected(barn, signed_in):
    left_out, chosen = answer(barn), answer(barn)
    browser = signed_in(barn.reviewer)
    page = browser.get(BULK).content.decode()
    assert page.count('name="answer"') == page.count("checked") == 2
    form = {"answer": [chosen.pk], "shown": [left_out.pk, chosen.pk]}
    text = browser.post(BULK, form, follow=True).content.decode()
    assert "1 approved" in text
    assert list(Review.objects.values_list("annotation", flat=True)) == [chosen.pk]


def test_what_was_left_out_is_not_offered_to_the_same_person_again(barn, signed_in):
    left_out = answer(barn)
    browser = signed_in(barn.reviewer)
    browser.post(BULK, {"shown": [left_out.pk]})
    assert 'name="answer"' not in browser.get(BULK).content.decode()
    assert 'name="answer"' in signed_in(barn.admin).get(BULK).content.decode()
    assert browser.get(reverse("reviews", args=["barn"])).context["first"] == left_out


def test_grid_says_what_was_skipped(barn, signed_in):
    row = answer(barn)
    review_decide(annotation=row, reviewer=barn.admin, decision="approve")
    text = signed_in(barn.reviewer).post(BULK, {"answer": [row.pk, "x"]}, follow=True).content.decode()
    assert "None was approved" in text
    assert "1 skipped. Somebody has decided on this already" in text


def test_list_offers_the_grid_only_if_something_is_on_it(barn, signed_in):
    browser, button = signed_in(barn.reviewer), reverse("certain-button", args=["barn"])
    assert browser.get(button).content.decode().strip() == ""
    answer(barn)
    assert BULK in browser.get(button).content.decode()
    assert button in browser.get(reverse("reviews", args=["barn"])).content.decode()
