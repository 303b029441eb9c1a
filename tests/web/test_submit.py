"""What becomes of an annotator's answer."""

import threading
import uuid

import pytest
from django.db import connections

from annotator.common.chance import task_is_drawn
from annotator.common.errors import ConflictError, MaskError, RoostError
from annotator.common.masks import rle_to_wire
from annotator.models import Annotation, Draft, Pair, Review, Task
from annotator.queue.drafts import draft_save
from annotator.queue.submissions import task_submit
from tests import factories

UUID = uuid.UUID("00000000-0000-4000-8000-000000000001")


def wire_instance(rle=None, **fields) -> dict:
    mask = rle_to_wire(rle or factories.box_rle())
    return {
        "mask": mask,
        "origin": "click",
        "prompts": [],
        "model_version": "demo",
        "score": 0.9,
        "edited": False,
    } | fields


def submit(task, user, **fields) -> Annotation:
    defaults = {"attempt": 1, "client_uuid": UUID, "verdict": "present", "instances": [wire_instance()]}
    return task_submit(task=task, user=user, **defaults | fields)


@pytest.fixture
def held(barn) -> Task:
    return factories.make_task(barn.project, holder=barn.annotator)


def test_submission_stores_whole_image_masks_and_waits_for_review(barn, held):
    annotation = submit(held, barn.annotator)
    held.refresh_from_db()
    assert annotation.instances[0]["mask"] == factories.box_rle()
    assert (held.state, held.author, held.holder) == (Task.State.SUBMITTED, barn.annotator, None)


def test_submitting_twice_answers_the_same_row(barn, held):
    assert submit(held, barn.annotator) == submit(held, barn.annotator)
    assert Annotation.objects.count() == 1


def test_submission_ends_the_draft(barn, held):
    draft_save(task=held, user=barn.annotator, version=0, payload={"verdict": "present"})
    submit(held, barn.annotator)
    assert not Draft.objects.exists()


@pytest.mark.parametrize(
    ("verdict", "instances"), [("present", []), ("absent", [wire_instance()]), ("perhaps", [wire_instance()])]
)
def test_verdict_and_masks_must_agree(barn, held, verdict, instances):
    with pytest.raises(RoostError):
        submit(held, barn.annotator, verdict=verdict, instances=instances)
    held.refresh_from_db()
    assert held.state == Task.State.CLAIMED


@pytest.mark.parametrize(
    "broken",
    [
        {"size": [17, 16], "crop_xywh": [0, 0, 1, 1], "counts": "01"},
        {"size": [16, 16], "crop_xywh": [0, 0, 20, 1], "counts": "01"},
        {"size": [16, 16], "crop_xywh": [0, 0, 4, 4], "counts": "0P9"},
        {"size": [16, 16], "crop_xywh": [0, 0, 0, 0], "counts": ""},
        None,
        "mask",
    ],
)
def test_broken_mask_is_refused_by_its_number_and_nothing_is_stored(barn, held, broken):
    with pytest.raises(MaskError, match="Instance 2"):
        submit(held, barn.annotator, instances=[wire_instance(), {"mask": broken, "origin": "click"}])
    assert not Annotation.objects.exists()


@pytest.mark.parametrize(
    "field", [{"origin": "magic"}, {"score": 1.5}, {"prompts": [{"x": 1}]}, {"prompts": "x"}, {"model_version": 3}]
)
def test_instance_with_a_wrong_field_is_refused(barn, held, field):
    with pytest.raises(RoostError, match="Instance 1"):
        submit(held, barn.annotator, instances=[wire_instance(**field)])


def test_rejected_proposal_must_exist(barn, held):
    with pytest.raises(RoostError, match="indices"):
        submit(held, barn.annotator, verdict="absent", instances=[], rejected_proposals=[1])


def test_late_submission_of_a_free_task_is_taken(barn, held):
    Task.objects.update(state=Task.State.QUEUED, holder=None, lease_until=None)
    assert submit(held, barn.annotator).task == held


def test_late_submission_of_a_task_held_by_another_is_kept_as_a_draft(barn, held):
    Task.objects.update(holder=barn.reviewer, attempt=2)
    with pytest.raises(ConflictError) as caught:
        submit(held, barn.annotator)
    held.refresh_from_db()
    assert caught.value.code == "lease_lost"
    assert (held.holder, held.state) == (barn.reviewer, Task.State.CLAIMED)
    assert Draft.objects.get(user=barn.annotator).payload["submission"]["verdict"] == "present"


def test_late_submission_of_a_done_task_is_kept_beside_the_desks_draft(barn, held):
    draft_save(task=held, user=barn.annotator, version=0, payload={"zoom": 2})
    Task.objects.update(state=Task.State.APPROVED, holder=None)
    with pytest.raises(ConflictError):
        submit(held, barn.annotator)
    draft = Draft.objects.get()
    assert (draft.version, draft.payload["zoom"], "submission" in draft.payload) == (2, 2, True)


def test_task_that_was_never_handed_out_can_not_be_answered(barn):
    with pytest.raises(ConflictError):
        submit(factories.make_task(barn.project), barn.annotator, attempt=0)


def test_task_sent_back_to_its_author_is_not_answered_by_another(barn):
    task = factories.make_task(barn.project, state=Task.State.RETURNED, author=barn.annotator, attempt=1)
    with pytest.raises(ConflictError):
        submit(task, barn.reviewer)


@pytest.mark.django_db(transaction=True)
def test_parallel_submits_of_one_answer_store_one_row():
    barn = factories.make_barn()
    held = factories.make_task(barn.project, holder=barn.annotator)
    start, stored = threading.Barrier(5), []

    def race() -> None:
        start.wait()
        stored.append(submit(held, barn.annotator).pk)
        connections.close_all()

    threads = [threading.Thread(target=race) for _ in range(5)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(stored) == 5
    assert set(stored) == {Annotation.objects.get().pk}


def policy(barn, review_policy: str, **fields) -> None:
    for name, value in {"review_policy": review_policy, **fields}.items():
        setattr(barn.project, name, value)
    barn.project.save()


def held_with_proposal(barn, **proposal) -> Task:
    pair = factories.make_pair(barn.project)
    instance = {"mask": factories.box_rle(), "box": [2, 3, 9, 10], "query_score": 0.9, "stability": 0.9, "score": 0.9}
    factories.make_prediction(pair, presence=0.95, instances=[instance | proposal])
    return factories.make_task(barn.project, pair, holder=barn.annotator)


def test_agreement_with_the_proposal_needs_no_reviewer_under_that_policy(barn):
    policy(barn, "disagreements")
    task = held_with_proposal(barn)
    annotation = submit(task, barn.annotator)
    task.refresh_from_db()
    assert task.state == Task.State.APPROVED
    assert Review.objects.get(annotation=annotation).reviewer is None
    assert Pair.objects.get(pk=task.pair_id).truth == Pair.Truth.PRESENT


def test_other_mask_than_the_proposal_is_reviewed(barn):
    policy(barn, "disagreements")
    task = held_with_proposal(barn, mask=factories.box_rle(2, 3, 8, 10))  # 42 of 49 pixels: IoU 0.86
    submit(task, barn.annotator)
    task.refresh_from_db()
    assert task.state == Task.State.SUBMITTED


def test_other_verdict_than_the_proposal_is_reviewed(barn):
    policy(barn, "disagreements")
    task = held_with_proposal(barn)
    submit(task, barn.annotator, verdict="absent", instances=[], rejected_proposals=[0])
    task.refresh_from_db()
    assert task.state == Task.State.SUBMITTED


# Presence 0.5 and a query score of 0.9: the desk shows the mask, although the detection's score is only 0.45.
UNSURE = {"query_score": 0.9, "score": 0.45}


def test_proposal_accepted_to_the_pixel_needs_no_reviewer_where_presence_is_undecided(barn):
    policy(barn, "disagreements")
    task = held_with_proposal(barn, **UNSURE)
    submit(task, barn.annotator)
    task.refresh_from_db()
    assert task.state == Task.State.APPROVED


def test_shown_proposal_that_is_rejected_is_reviewed_where_presence_is_undecided(barn):
    policy(barn, "disagreements")
    task = held_with_proposal(barn, **UNSURE)
    submit(task, barn.annotator, verdict="absent", instances=[], rejected_proposals=[0])
    task.refresh_from_db()
    assert task.state == Task.State.SUBMITTED
    assert Pair.objects.get(pk=task.pair_id).truth == Pair.Truth.UNSEEN


def test_absent_answer_where_nothing_was_shown_needs_no_reviewer(barn):
    policy(barn, "disagreements")
    task = held_with_proposal(barn, query_score=0.3, score=0.15)
    submit(task, barn.annotator, verdict="absent", instances=[])
    task.refresh_from_db()
    assert task.state == Task.State.APPROVED


def test_sampled_share_of_reviews_is_about_what_was_set():
    share = sum(task_is_drawn(task_id=number, share=0.2, draw="review") for number in range(5000)) / 5000
    assert 0.18 < share < 0.22


def test_share_of_none_reviews_none_and_share_of_all_reviews_all(barn):
    policy(barn, "sample", review_share=0.0)
    first, second = (factories.make_task(barn.project, holder=barn.annotator) for _ in range(2))
    submit(first, barn.annotator)
    policy(barn, "sample", review_share=1.0)
    submit(second, barn.annotator)
    assert [Task.objects.get(pk=task.pk).state for task in (first, second)] == ["approved", "submitted"]
