"""Pairs in which not every instance is outlined: what they may not stand for, and how people complete them."""

import json
import uuid

import pytest
from django.urls import reverse

from annotator.common.errors import RoostError
from annotator.common.masks import rle_to_wire
from annotator.concepts.merge import concept_merge
from annotator.data.snapshots import snapshot_create
from annotator.data.snapshots_page import snapshot_folder
from annotator.models import Image, Pair, Project, Task
from annotator.queue.candidates import tasks_withdrawable
from annotator.queue.holdout_progress import holdout_state
from annotator.queue.incomplete import incomplete_queue
from annotator.queue.known_answers import known_answers_draw
from annotator.queue.leases import task_claim
from annotator.queue.model_errors import production_error, suspected_labels
from annotator.queue.submissions import task_submit
from annotator.review.bulk_candidates import answer_suits_bulk
from annotator.review.decisions import review_decide
from tests import factories
from training.dataset import Snapshot as TrainerSnapshot


def half_outlined(barn, **fields) -> Pair:
    return factories.make_pair(barn.project, truth="present", is_exhaustive=False, **fields)


def in_holdout(barn) -> Image:
    return factories.make_image(barn.project, split=Image.Split.HOLDOUT)


def queued(barn) -> list[Task]:
    return incomplete_queue(project=barn.project, user=barn.admin)


def answer(barn, task: Task, **fields):
    claimed = task_claim(project=barn.project, user=barn.annotator)
    assert claimed == task
    given = {"attempt": claimed.attempt, "client_uuid": uuid.uuid4(), "verdict": "present"}
    return task_submit(task=claimed, user=barn.annotator, **given | fields)


def wire(rle: dict, **fields) -> dict:
    shape = {"origin": "drawn", "prompts": [], "model_version": None, "score": None, "edited": False}
    return {"mask": rle_to_wire(rle)} | shape | fields


def test_snapshot_says_what_is_not_all_outlined_and_the_trainer_reads_it(barn):
    pair, whole = half_outlined(barn), factories.make_pair(barn.project, truth="present")
    folder = snapshot_folder(snapshot_create(project=barn.project, user=barn.admin))
    rows = json.loads((folder / "train.json").read_text())["images"]
    ids = {row["file_name"]: row["id"] for row in rows}
    told = {row["file_name"]: row["is_instance_exhaustive"] for row in rows}
    assert told == {pair.image.sha256: 0, whole.image.sha256: 1}
    split = TrainerSnapshot(folder).split("train")
    assert {one.id for one in split.trainable} == set(ids.values())
    assert [one.id for one in split.judged] == [ids[whole.image.sha256]]


def test_holdout_counts_only_what_can_judge(barn):
    half_outlined(barn, image=in_holdout(barn))
    for truth in ("present", "absent", "unseen"):
        factories.make_pair(barn.project, image=in_holdout(barn), truth=truth)
    found = holdout_state(project=barn.project)
    assert (found.positives, found.negatives, found.unseen, found.incomplete) == (1, 1, 1, 1)


def test_holdout_of_half_outlined_pairs_cannot_judge_and_its_page_says_how_many_there_are(barn, signed_in):
    half_outlined(barn, image=in_holdout(barn))
    factories.make_pair(barn.project, image=in_holdout(barn), truth="absent")
    assert not holdout_state(project=barn.project).can_judge
    text = signed_in(barn.admin).get(reverse("training", args=["barn"])).content.decode()
    assert "no model is judged by them" in text


def test_half_outlined_pair_is_never_a_known_answer(barn):
    barn.project.honeypot_share, barn.project.mine_batch = 1.0, 10
    half_outlined(barn)
    whole = factories.make_pair(barn.project, truth="present")
    assert known_answers_draw(project=barn.project, seed=1) == [whole.pk]


def test_half_outlined_pair_is_no_suspected_label_and_no_audit_of_the_model(barn):
    suspect, audited = half_outlined(barn), half_outlined(barn)
    factories.make_prediction(suspect, 0.05, [])
    factories.make_task(barn.project, audited, lane=Task.Reason.AUDIT, state=Task.State.APPROVED)
    assert not suspected_labels(project=barn.project).exists()
    assert production_error(project=barn.project).total == 0


def test_queued_once_and_its_truth_stays_meanwhile(barn):
    pair = half_outlined(barn, image=in_holdout(barn))
    factories.make_pair(barn.project, truth="present")
    (task,) = queued(barn)
    assert (task.pair_id, task.lane, task.model_version) == (pair.pk, "incomplete", None)
    with pytest.raises(RoostError, match="nothing to complete"):
        queued(barn)
    pair.refresh_from_db()
    assert (pair.truth, pair.is_exhaustive, len(pair.instances)) == ("present", False, 1)
    assert not tasks_withdrawable(project=barn.project).exists()


def test_desk_offers_what_is_outlined_in_the_proposals_place(barn, api):
    pair = half_outlined(barn)
    factories.make_prediction(pair, 0.9)  # the model's own proposal is not shown beside it
    queued(barn)
    task = api(barn.annotator).post("/api/v1/projects/barn/claim").json()
    assert (task["proposal"]["model_version"], task["proposal"]["presence"]) == (None, 1.0)
    (offered,) = task["proposal"]["instances"]
    assert offered["mask"] == rle_to_wire(pair.instances[0]["mask"])
    assert offered["box"] == [2, 3, 9, 10]
    assert "perhaps not every chicken" in task["reasons"][0]["words"]


def test_approved_answer_completes_the_pair(barn):
    pair = half_outlined(barn)
    (task,) = queued(barn)
    second = factories.box_rle(11, 11, 14, 14)
    given = answer(barn, task, instances=[wire(pair.instances[0]["mask"], origin="proposal"), wire(second)])
    pair.refresh_from_db()
    assert not pair.is_exhaustive  # a reviewer has not looked yet
    assert not answer_suits_bulk(answer=given)
    review_decide(annotation=given, reviewer=barn.reviewer, decision="approve")
    pair.refresh_from_db()
    assert (pair.is_exhaustive, pair.truth_source, len(pair.instances)) == (True, "annotated", 2)


def test_disagreement_policy_has_completed_pairs_reviewed(barn):
    """Nobody has seen whether the rest is there, so that keeping what was outlined is no agreement with a model."""
    Project.objects.update(review_policy=Project.ReviewPolicy.DISAGREEMENTS)
    pair = half_outlined(barn)
    (task,) = queued(barn)
    answer(barn, task, instances=[wire(pair.instances[0]["mask"], origin="proposal")])
    task.refresh_from_db()
    assert task.state == Task.State.SUBMITTED


def test_outline_called_wrong_is_no_false_alarm_of_a_model(barn):
    pair = half_outlined(barn)
    (task,) = queued(barn)
    given = answer(barn, task, verdict="absent", instances=[], rejected_proposals=[0])
    review_decide(annotation=given, reviewer=barn.reviewer, decision="approve")
    pair.refresh_from_db()
    assert (pair.truth, pair.hard_negative, pair.is_exhaustive) == ("absent", False, True)


def test_outline_that_is_not_there_cannot_be_rejected(barn):
    half_outlined(barn)
    (task,) = queued(barn)
    with pytest.raises(RoostError, match="this task's 1 proposals"):
        answer(barn, task, instances=[wire(factories.box_rle())], rejected_proposals=[1])


def test_merge_carries_over_what_is_not_all_outlined(barn):
    hen, image = factories.make_concept(barn.project, "hen"), factories.make_image(barn.project)
    half_outlined(barn, concept=hen, image=image)
    factories.make_pair(barn.project, concept=barn.chicken, image=image)
    concept_merge(concept=hen, into=barn.chicken, user=barn.admin)
    moved = Pair.objects.get(concept=barn.chicken)
    assert (moved.truth, moved.is_exhaustive) == ("present", False)


@pytest.mark.parametrize("complete", [True, False])
def test_reviewer_of_two_that_became_one_is_told_if_either_was_not_all_outlined(barn, complete):
    hen, image = factories.make_concept(barn.project, "hen"), factories.make_image(barn.project)
    factories.make_pair(barn.project, concept=hen, image=image, truth="present", is_exhaustive=complete)
    factories.make_pair(barn.project, concept=barn.chicken, image=image, truth="present")
    concept_merge(concept=hen, into=barn.chicken, user=barn.admin)
    task = Task.objects.get(pair__concept=barn.chicken)
    assert task.state == Task.State.SUBMITTED
    assert ("Not all may be outlined" in task.reasons[0]["words"]) is not complete


def test_button_queues_them_and_goes_with_the_last(barn, signed_in):
    half_outlined(barn)
    browser, checks = signed_in(barn.admin), reverse("queue-checks", args=["barn"])
    address = reverse("incomplete-queue", args=["barn"])
    assert address in browser.get(checks).content.decode()
    assert "1 pairs wait in the queue" in browser.post(address, follow=True).content.decode()
    assert address not in browser.get(checks).content.decode()
