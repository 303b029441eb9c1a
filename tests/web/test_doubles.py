"""Two people label one pair without seeing each other; known answers are mixed in."""

import uuid

import pytest
from django.urls import reverse

from annotator.common.errors import ConflictError, RoostError
from annotator.common.masks import rle_to_wire
from annotator.home.overview import project_counts
from annotator.models import Annotation, Pair, Review, Task
from annotator.people.agreement_page import agreements_of
from annotator.queue.assignments import task_reassign
from annotator.queue.candidates import tasks_withdrawable
from annotator.queue.doubles import doubles_add
from annotator.queue.known_answers import known_answers_add, known_answers_draw
from annotator.queue.leases import task_claim, task_release
from annotator.queue.queue_page import reason_counts
from annotator.queue.submissions import task_submit
from annotator.review.decisions import review_decide
from annotator.review.selectors import annotations_waiting
from tests import factories

WHOLE, MOST, HALF = (2, 3, 9, 10), (2, 3, 8, 10), (2, 3, 5, 10)  # of 49 px: 42 (IoU 0.86) and 21 (0.43)


@pytest.fixture
def twice(barn):
    """A barn that labels everything twice, with one pair in the queue."""
    barn.project.double_share = 1.0
    barn.project.save()
    first = factories.make_task(barn.project)
    doubles_add(project=barn.project, tasks=[first])
    return barn


def body(box: tuple | None = WHOLE) -> dict:
    """An answer: one box, or absent for None."""
    masks = [rle_to_wire(factories.box_rle(*box))] if box else []
    instances = [{"mask": mask, "origin": "click", "prompts": []} for mask in masks]
    return {"verdict": "present" if box else "absent", "instances": instances, "client_uuid": uuid.uuid4()}


def answer(barn, user, box=WHOLE) -> Annotation:
    task = task_claim(project=barn.project, user=user)
    return task_submit(task=task, user=user, attempt=task.attempt, **body(box))


def states() -> list[str]:
    return list(Task.objects.order_by("pk").values_list("state", flat=True))


def test_second_task_goes_to_another_person_only(twice):
    first = task_claim(project=twice.project, user=twice.annotator)
    assert task_claim(project=twice.project, user=twice.annotator, after_id=first.pk) is None
    second = task_claim(project=twice.project, user=twice.reviewer)
    assert (second.pair_id, second.blind) == (first.pair_id, 1)


def test_whoever_answered_one_task_of_a_double_never_gets_the_other(twice):
    answer(twice, twice.annotator)
    assert task_claim(project=twice.project, user=twice.annotator) is None


def test_released_double_may_be_taken_by_either(twice):
    held = task_claim(project=twice.project, user=twice.annotator)
    task_release(task=held, user=twice.annotator, attempt=held.attempt)
    assert task_claim(project=twice.project, user=twice.annotator) is not None


def test_double_is_not_given_to_the_other_task_s_person(twice):
    answer(twice, twice.annotator)
    with pytest.raises(ConflictError, match="two people's"):
        task_reassign(task=Task.objects.get(blind=1), member=twice.annotator, user=twice.admin)


def test_first_answer_waits_unseen_for_the_second(twice, api):
    twice.project.review_policy = "sample"
    twice.project.review_share = 0.0
    twice.project.save()
    answer(twice, twice.annotator)
    assert not annotations_waiting(project=twice.project).exists()
    assert Pair.objects.get().truth == Pair.Truth.UNSEEN
    second = task_claim(project=twice.project, user=twice.reviewer)
    shown = api(twice.reviewer).get(reverse("api-task", args=[second.pk])).json()
    assert (shown["annotation"], shown["draft"]) == (None, None)


def test_agreeing_answers_follow_the_policy_and_settle_the_pair_once(twice):
    twice.project.review_policy = "sample"
    twice.project.review_share = 0.0
    twice.project.save()
    answer(twice, twice.annotator)
    answer(twice, twice.reviewer, MOST)
    assert states() == ["approved", "approved"]
    assert Pair.objects.get().instances[0]["mask"] == factories.box_rle(*WHOLE)
    assert Review.objects.filter(reviewer=None, decision="approve").count() == 2


@pytest.mark.parametrize("other", [HALF, None])
def test_disagreeing_answers_go_both_to_review_whatever_the_policy(twice, signed_in, other):
    twice.project.review_policy = "sample"
    twice.project.review_share = 0.0
    twice.project.save()
    answer(twice, twice.annotator)
    answer(twice, twice.reviewer, other)
    assert annotations_waiting(project=twice.project).count() == 2
    text = signed_in(twice.admin).get(reverse("reviews", args=["barn"])).content.decode()
    assert text.count("one of two answers") == 2


def test_reviewer_s_choice_closes_the_other_answer(twice):
    first = answer(twice, twice.annotator)
    answer(twice, twice.reviewer, None)
    review_decide(annotation=first, reviewer=twice.admin, decision="approve")
    assert states() == ["approved", "withdrawn"]
    assert Pair.objects.get().truth == Pair.Truth.PRESENT
    assert not annotations_waiting(project=twice.project).exists()


def test_nobody_chooses_between_the_own_answer_and_another_s(twice):
    first = answer(twice, twice.annotator)
    answer(twice, twice.reviewer, None)
    with pytest.raises(RoostError, match="other answer"):
        review_decide(annotation=first, reviewer=twice.reviewer, decision="approve")
    assert states() == ["submitted", "submitted"]


def test_other_task_s_person_is_told_why_and_not_led_there(twice, signed_in, api):
    first = answer(twice, twice.annotator)
    answer(twice, twice.reviewer, None)
    page = signed_in(twice.reviewer).get(reverse("reviews", args=["barn"]))
    assert page.context["first"] is None
    assert "you gave the other answer" in page.content.decode()
    assert reverse("review", args=["barn", first.pk]) not in page.content.decode()
    rows = api(twice.reviewer).get(reverse("api-reviews", args=["barn"])).json()
    assert [row["barred"] for row in rows] == ["you gave the other answer", "your own"]
    assert project_counts(project=twice.project, user=twice.reviewer).reviewable == 0
    assert project_counts(project=twice.project, user=twice.admin).reviewable == 2


def test_answer_shows_alone_once_the_project_labels_nothing_twice(twice):
    first = answer(twice, twice.annotator)
    twice.project.double_share = 0.0
    twice.project.save()
    assert annotations_waiting(project=twice.project).get() == first
    review_decide(annotation=first, reviewer=twice.admin, decision="approve")
    assert states() == ["approved", "withdrawn"]


def test_mining_withdraws_both_tasks_of_a_double_or_none(twice):
    assert tasks_withdrawable(project=twice.project).count() == 2
    answer(twice, twice.annotator)
    assert not tasks_withdrawable(project=twice.project).exists()


def test_share_of_doubles_is_about_what_was_set(barn):
    concepts = [factories.make_concept(barn.project, f"thing {n}") for n in range(300)]
    image = factories.make_image(barn.project)
    pairs = [factories.make_pair(barn.project, concept, image) for concept in concepts]
    tasks = Task.objects.bulk_create([Task(project=barn.project, pair=pair, lane="band") for pair in pairs])
    barn.project.double_share = 0.2
    assert 35 < len(doubles_add(project=barn.project, tasks=tasks)) < 85


def test_agreement_is_told_by_person_and_concept(twice, signed_in):
    for number in range(10):
        if number:
            doubles_add(project=twice.project, tasks=[factories.make_task(twice.project)])
        answer(twice, twice.annotator, WHOLE if number < 5 else None)
        answer(twice, twice.reviewer, MOST if number < 4 else None)
    people, concepts = agreements_of(project=twice.project)
    # Both present 4, one against the other 1, both absent 5: observed 0.9, expected 0.5 x 0.4 + 0.5 x 0.6, kappa 0.8.
    assert [row.name for row in people] == ["annotator", "reviewer"]
    assert [row.kappa for row in (*people, *concepts)] == pytest.approx([0.8, 0.8, 0.8])
    assert concepts[0].ious == pytest.approx([42 / 49] * 4)
    assert concepts[0].mean_iou is None
    text = signed_in(twice.reviewer).get(reverse("people-figures", args=["barn"])).content.decode()
    assert "0.80" in text


@pytest.fixture
def known(barn) -> Task:
    """One task with a known answer: present, a box of 49 px."""
    barn.project.honeypot_share, barn.project.mine_batch = 0.5, 2
    barn.project.save()
    truth = [factories.make_instance(factories.box_rle(*WHOLE))]
    factories.make_prediction(factories.make_pair(barn.project, truth="present", instances=truth))
    return mixed_in(barn)[0]


def mixed_in(barn) -> list[Task]:
    drawn = known_answers_draw(project=barn.project, seed=1)
    version = barn.project.serving_version
    return known_answers_add(project=barn.project, version=version, pairs=drawn, number=1, seed=1)


def test_known_answer_is_scored_and_changes_no_truth(barn, known):
    before = Pair.objects.values().get()
    stored = answer(barn, barn.annotator, MOST)
    assert stored.scored == {"verdict_right": True, "iou": 0.8571}
    assert Pair.objects.values().get() == before


@pytest.mark.parametrize(("policy", "state"), [("all", "submitted"), ("sample", "approved")])
def test_known_answer_goes_the_way_of_every_other(barn, known, api, policy, state):
    barn.project.review_policy, barn.project.review_share = policy, 0.0
    barn.project.save()
    other = factories.make_task(barn.project)
    told = []
    for _ in range(2):
        task = task_claim(project=barn.project, user=barn.annotator)
        sent = body() | {"attempt": task.attempt}
        got = api(barn.annotator).post(reverse("api-submit", args=[task.pk]), sent, format="json").json()
        reopened = api(barn.annotator).post(reverse("api-reopen", args=[task.pk])).status_code
        task_release_if_held(task, barn.annotator)
        told.append((got["state"], reopened, annotations_waiting(project=barn.project).filter(task=task).count()))
    assert told[0] == told[1]
    assert told[0][0] == state
    assert {other.pk, known.pk} == set(Annotation.objects.values_list("task", flat=True))


def task_release_if_held(task: Task, user) -> None:
    task.refresh_from_db()
    if task.state == Task.State.CLAIMED:
        task_release(task=task, user=user, attempt=task.attempt)


@pytest.mark.parametrize("decision", ["approve", "fix"])
def test_reviewer_s_word_on_a_known_answer_changes_no_truth(barn, known, decision):
    before = Pair.objects.values().get()
    fix = {"verdict": "absent", "instances": []} if decision == "fix" else {}
    review_decide(annotation=answer(barn, barn.annotator, None), reviewer=barn.reviewer, decision=decision, **fix)
    assert Pair.objects.values().get() == before
    assert states() == ["approved"]


def test_known_answer_can_t_be_looked_up_on_the_images_page(barn, known, signed_in):
    address = reverse("images", args=["barn"])
    for user in (barn.annotator, barn.reviewer):
        assert "chip-unseen" in signed_in(user).get(address).content.decode()
        assert "No image fits" in signed_in(user).get(address + "?truth=present").content.decode()
    Task.objects.update(state="approved")
    assert "chip-present" in signed_in(barn.reviewer).get(address).content.decode()


def test_known_answer_shows_the_serving_model_s_proposals_or_is_not_asked(barn, known):
    Task.objects.all().delete()
    barn.project.serving_version = factories.make_version("barn-v2")
    barn.project.save()
    assert mixed_in(barn) == []
    factories.make_prediction(known.pair)
    assert [task.model_version.name for task in mixed_in(barn)] == ["barn-v2"]


def test_known_answer_looks_like_an_audit(barn, known, api):
    shown = api(barn.annotator).post(reverse("api-claim", args=["barn"]), {}, format="json").json()
    assert (shown["lane"], shown["reasons"][0]["kind"]) == ("audit", "audit")
    Task.objects.update(state="queued", holder=None, lease_until=None)
    reasons = {reason: count for reason, _, count in reason_counts(project=barn.project)}
    assert reasons["audit"] == 1
    assert "honeypot" not in reasons


@pytest.mark.parametrize(("allowed", "box"), [(True, None), (True, WHOLE), (False, WHOLE)])
def test_feedback_comes_with_the_answer_where_the_project_allows_it(barn, known, api, allowed, box):
    barn.project.honeypot_feedback = allowed
    barn.project.save()
    task = task_claim(project=barn.project, user=barn.annotator)
    sent = body(box) | {"attempt": task.attempt}
    got = api(barn.annotator).post(reverse("api-submit", args=[task.pk]), sent, format="json").json()
    assert ("feedback" in got) == allowed
    if allowed:
        assert got["feedback"]["verdict_right"] == (box == WHOLE)
        assert ("right" if box else "it is in the image") in got["feedback"]["words"]


def test_whoever_gave_the_known_answer_is_not_asked_it(barn, known):
    given = Task.objects.create(project=barn.project, pair=known.pair, lane="band", state="approved")
    fields = {"author": barn.annotator, "revision": 1, "client_uuid": uuid.uuid4(), "verdict": "present"}
    Annotation.objects.create(task=given, pair=known.pair, **fields)
    assert task_claim(project=barn.project, user=barn.annotator) is None
    assert task_claim(project=barn.project, user=barn.reviewer) == known


def test_without_a_share_nothing_known_is_queued(barn):
    factories.make_prediction(factories.make_pair(barn.project, truth="present"))
    assert mixed_in(barn) == []
