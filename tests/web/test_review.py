"""What a reviewer's decision does to task, pair and author."""

import threading

import pytest
from django.db import connections

from annotator.common.errors import ConflictError, RoostError
from annotator.common.masks import rle_to_wire
from annotator.models import Annotation, Pair, Review, Task
from annotator.queue.leases import task_claim, task_reopen
from annotator.review.decisions import review_decide
from tests import factories


def decide(annotation, reviewer, decision="approve", **fields) -> Review:
    annotation = Annotation.objects.select_related("task__project", "pair__image").get(pk=annotation.pk)
    return review_decide(annotation=annotation, reviewer=reviewer, decision=decision, **fields)


@pytest.fixture
def waiting(barn) -> Annotation:
    return factories.make_annotation(factories.make_task(barn.project, round=3), barn.annotator)


def test_approval_writes_the_pairs_truth(barn, waiting):
    decide(waiting, barn.reviewer)
    pair = Pair.objects.get()
    assert (pair.truth, pair.truth_source, pair.round) == ("present", "annotated", 3)
    assert pair.instances == waiting.instances
    assert pair.settled_at is not None
    assert waiting.task.__class__.objects.get().state == Task.State.APPROVED


def test_approved_absence_is_an_explicit_negative(barn):
    task = factories.make_task(barn.project)
    decide(factories.make_annotation(task, barn.annotator, "absent"), barn.reviewer)
    pair = Pair.objects.get()
    assert (pair.truth, pair.instances, pair.hard_negative) == ("absent", [], False)


def test_absence_where_a_model_was_sure_is_a_hard_negative(barn):
    pair = factories.make_pair(barn.project)
    instance = {"mask": factories.box_rle(), "box": [2, 3, 9, 10], "query_score": 0.9, "stability": 0.9, "score": 0.55}
    factories.make_prediction(pair, instances=[instance])
    task = factories.make_task(barn.project, pair)
    decide(factories.make_annotation(task, barn.annotator, "absent"), barn.reviewer)
    assert Pair.objects.get().hard_negative


def test_absence_with_a_rejected_proposal_is_a_hard_negative(barn):
    task = factories.make_task(barn.project)
    annotation = factories.make_annotation(task, barn.annotator, "absent", rejected_proposals=[0])
    decide(annotation, barn.reviewer)
    assert Pair.objects.get().hard_negative


def test_rejected_review_returns_the_task_to_its_author_first(barn, waiting):
    factories.make_task(barn.project, priority=9.0)
    review = decide(waiting, barn.reviewer, "send_back", comment="The legs are missing.", pin={"x": 3, "y": 4})
    assert review.pin == {"x": 3.0, "y": 4.0}
    assert Pair.objects.get(pk=waiting.pair_id).truth == Pair.Truth.UNSEEN
    assert task_claim(project=barn.project, user=barn.annotator) == waiting.task


def test_sending_back_needs_a_comment(barn, waiting):
    with pytest.raises(RoostError, match="comment"):
        decide(waiting, barn.reviewer, "send_back", comment="  ")
    assert not Review.objects.exists()


def test_fix_keeps_both_revisions_and_settles_with_the_reviewers(barn, waiting):
    fixed = factories.box_rle(0, 0, 5, 5)
    wire = {"mask": rle_to_wire(fixed), "origin": "drawn"}
    review = decide(waiting, barn.reviewer, "fix", verdict="present", instances=[wire])
    assert [row.author for row in Annotation.objects.all()] == [barn.annotator, barn.reviewer]
    assert (review.fixed.revision, Pair.objects.get().instances[0]["mask"]) == (2, fixed)


def test_broken_mask_in_a_fix_changes_nothing(barn, waiting):
    with pytest.raises(RoostError, match="Instance 1"):
        decide(waiting, barn.reviewer, "fix", verdict="present", instances=[{"mask": None, "origin": "drawn"}])
    assert Task.objects.get().state == Task.State.SUBMITTED


def test_nobody_reviews_their_own_work(barn):
    annotation = factories.make_annotation(factories.make_task(barn.project), barn.reviewer)
    with pytest.raises(RoostError) as caught:
        decide(annotation, barn.reviewer)
    assert caught.value.http_status == 403


def test_project_may_allow_reviewing_own_work(barn):
    barn.project.self_review_allowed = True
    barn.project.save()
    annotation = factories.make_annotation(factories.make_task(barn.project), barn.reviewer)
    assert decide(annotation, barn.reviewer).decision == "approve"


def test_second_reviewer_is_told_so(barn, waiting):
    decide(waiting, barn.reviewer)
    with pytest.raises(ConflictError) as caught:
        decide(waiting, barn.admin, "send_back", comment="No.")
    assert caught.value.code == "already_reviewed"
    assert Task.objects.get().state == Task.State.APPROVED


def test_review_of_a_reopened_task_is_told_so(barn, waiting):
    task_reopen(task=waiting.task, user=barn.annotator)
    with pytest.raises(ConflictError) as caught:
        decide(waiting, barn.reviewer)
    assert caught.value.code == "reopened"


@pytest.mark.django_db(transaction=True)
def test_of_reviewers_deciding_at_once_one_decides():
    barn = factories.make_barn()
    waiting = factories.make_annotation(factories.make_task(barn.project), barn.annotator)
    start, outcomes = threading.Barrier(4), []

    def race() -> None:
        start.wait()
        try:
            outcomes.append(decide(waiting, barn.reviewer).decision)
        except ConflictError as error:
            outcomes.append(error.code)
        connections.close_all()

    threads = [threading.Thread(target=race) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(outcomes) == ["already_reviewed"] * 3 + ["approve"]
