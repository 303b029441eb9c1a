"""Blind second labels of the holdout: who is asked, what is seen meanwhile, and what becomes of the answers."""

import json
import uuid

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.urls import reverse

from annotator.common.errors import RoostError
from annotator.common.masks import rle_to_wire
from annotator.models import Image, Pair, SecondLabel, Task
from annotator.queue.candidates import tasks_withdrawable
from annotator.queue.leases import task_claim, task_reopen
from annotator.queue.second_labels import second_labels_queue, second_labels_state
from annotator.queue.submissions import task_submit
from annotator.queue.visibility import pairs_with_visible_truth
from annotator.registry.label_doubts import labels_doubted
from annotator.review.decisions import review_decide
from annotator.review.selectors import annotations_waiting, why_barred
from tests import factories


def first_author(barn):
    """Another annotator, who gave the answers that are asked for again."""
    user = get_user_model().objects.filter(username="first").first()
    return user or factories.make_member(barn.project, factories.make_user("first"))


def labelled(barn, author=None, truth: str = "absent", **fields) -> Pair:
    """A holdout pair whose truth somebody's approved answer is."""
    image = factories.make_image(barn.project, split=Image.Split.HOLDOUT)
    found = [factories.make_instance()] if truth == "present" else []
    fields = {"truth": truth, "truth_source": Pair.TruthSource.ANNOTATED, "instances": found} | fields
    pair = factories.make_pair(barn.project, image=image, **fields)
    task = factories.make_task(barn.project, pair, predicted=False)
    factories.make_annotation(task, author or first_author(barn), truth)
    Task.objects.filter(pk=task.pk).update(state=Task.State.APPROVED)
    return pair


def judged_rows(barn, negatives: list[tuple[Pair, float]]) -> None:
    """A decision whose challenger gave these negatives so much presence, and fired from 0.5 on."""
    run = factories.make_training_run(barn.project, version=factories.make_version("barn-v1", project=barn.project))
    gate = factories.make_gate(run, folder="barn/1/gate")
    rows = [
        {
            "image": pair.image.sha256,
            "text_input": pair.concept.name,
            "instances": 0,
            "champion": {"presence": 0.02, "predicted": 0},
            "challenger": {"presence": presence, "predicted": int(presence >= 0.5)},
        }
        for pair, presence in negatives
    ]
    folder = settings.RUNS_DIR / gate.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.json").write_text(json.dumps(rows))


def answered(barn, user, box: tuple | None):
    """The next second label: one box, or absent for None."""
    task = task_claim(project=barn.project, user=user)
    masks = [rle_to_wire(factories.box_rle(*box))] if box else []
    instances = [{"mask": mask, "origin": "click", "prompts": []} for mask in masks]
    body = {"verdict": "present" if box else "absent", "instances": instances, "client_uuid": uuid.uuid4()}
    return task_submit(task=task, user=user, attempt=task.attempt, **body)


def test_as_many_others_are_asked_for_and_nothing_tells_them_apart(barn):
    pairs = [labelled(barn) for _ in range(6)]
    tasks = second_labels_queue(project=barn.project, user=barn.admin, doubted=[pairs[0].pk, pairs[4].pk])
    assert len(tasks) == 4
    asked = {task.pair_id: task for task in Task.objects.filter(lane=Task.Reason.SECOND_LABEL)}
    assert {pairs[0].pk, pairs[4].pk} < asked.keys()
    assert len({str((task.reasons, task.priority, task.model_version_id, task.round)) for task in asked.values()}) == 1
    assert SecondLabel.objects.filter(is_doubted=True).count() == SecondLabel.objects.filter(is_doubted=False).count()
    assert not tasks_withdrawable(project=barn.project).exists()


def test_only_what_a_person_can_have_got_wrong_is_asked_for_and_once(barn):
    drawn = labelled(barn, truth_source=Pair.TruthSource.DRAWN)
    partial = labelled(barn, truth="present", is_exhaustive=False)
    elsewhere = labelled(barn)
    Image.objects.filter(pk=elsewhere.image_id).update(split=Image.Split.TRAIN)
    doubted = [drawn.pk, partial.pk, elsewhere.pk]
    with pytest.raises(RoostError, match="No doubted label of the holdout"):
        second_labels_queue(project=barn.project, user=barn.admin, doubted=doubted)
    right = labelled(barn)
    second_labels_queue(project=barn.project, user=barn.admin, doubted=[right.pk])
    with pytest.raises(RoostError, match="asked already"):
        second_labels_queue(project=barn.project, user=barn.admin, doubted=[right.pk])


@pytest.mark.parametrize("gone", ["annotator", "reviewers"])
def test_pair_is_asked_only_where_somebody_is_left_to_answer_and_to_decide(barn, gone):
    pair = labelled(barn)
    left = barn.project.memberships.exclude(user=first_author(barn))
    leaving = left.filter(role="annotator") if gone == "annotator" else left.exclude(role="annotator")
    leaving.delete()
    with pytest.raises(RoostError, match="nobody is left for it"):
        second_labels_queue(project=barn.project, user=barn.admin, doubted=[pair.pk])


def test_second_label_goes_to_another_annotator_who_sees_no_truth_meanwhile(barn):
    pair = labelled(barn)
    second_labels_queue(project=barn.project, user=barn.admin, doubted=[pair.pk])
    for barred in (first_author(barn), barn.reviewer, barn.admin):  # these read the reports, where the truth stands
        assert task_claim(project=barn.project, user=barred) is None
    seen = pairs_with_visible_truth(Pair.objects.filter(pk=pair.pk), project=barn.project, user=barn.annotator)
    assert seen.get().visible_truth == Pair.Truth.UNSEEN
    assert task_claim(project=barn.project, user=barn.annotator).pair_id == pair.pk


def test_agreeing_second_label_needs_no_review_and_leaves_the_first_outlines(barn):
    pair = labelled(barn, truth="present")  # its box is 7 x 7 px; 6 x 7 of it overlap by 0.86
    first = pair.instances
    second_labels_queue(project=barn.project, user=barn.admin, doubted=[pair.pk])
    answered(barn, barn.annotator, (2, 3, 8, 10))
    pair.refresh_from_db()
    assert pair.instances == first
    assert Task.objects.get(lane=Task.Reason.SECOND_LABEL).state == Task.State.APPROVED
    assert SecondLabel.objects.get().changed is False


def test_differing_second_label_changes_the_truth_when_a_third_person_approves_it(barn):
    barn.project.review_policy = "sample"
    barn.project.review_share = 0.0
    barn.project.save()
    pair = labelled(barn)
    second_labels_queue(project=barn.project, user=barn.admin, doubted=[pair.pk])
    answer = answered(barn, barn.annotator, (2, 3, 9, 10))
    pair.refresh_from_db()
    assert pair.truth == Pair.Truth.ABSENT
    review_decide(annotation=answer, reviewer=barn.admin, decision="approve")
    pair.refresh_from_db()
    assert pair.truth == Pair.Truth.PRESENT
    assert SecondLabel.objects.get().changed is True


def test_second_label_cannot_be_taken_back_since_that_would_tell_that_it_differs(barn):
    pair = labelled(barn)
    second_labels_queue(project=barn.project, user=barn.admin, doubted=[pair.pk])
    answer = answered(barn, barn.annotator, (2, 3, 9, 10))
    with pytest.raises(RoostError, match="Only your last ten"):
        task_reopen(task=answer.task, user=barn.annotator)


def test_whoever_gave_the_first_answer_does_not_decide_on_the_second(barn):
    pair = labelled(barn, author=barn.reviewer)
    second_labels_queue(project=barn.project, user=barn.admin, doubted=[pair.pk])
    answer = answered(barn, barn.annotator, (2, 3, 9, 10))
    with pytest.raises(RoostError, match="You gave the other answer"):
        review_decide(annotation=answer, reviewer=barn.reviewer, decision="approve")
    waiting = annotations_waiting(project=barn.project).get()
    assert why_barred(answer=waiting, user=barn.reviewer, project=barn.project) == "you gave the other answer"
    assert why_barred(answer=waiting, user=barn.admin, project=barn.project) is None


def test_state_counts_what_was_changed_apart_for_doubted_and_drawn(barn):
    wrong, right = labelled(barn), labelled(barn)
    second_labels_queue(project=barn.project, user=barn.admin, doubted=[wrong.pk])
    for _ in range(2):
        box = (2, 3, 9, 10) if next_pair(barn) == wrong.pk else None
        answer = answered(barn, barn.annotator, box)
        if box:
            review_decide(annotation=answer, reviewer=barn.admin, decision="approve")
    found = second_labels_state(project=barn.project)
    assert (found.doubted, found.drawn, found.asked) == ((1, 1, 1), (1, 1, 0), 2)
    assert Pair.objects.get(pk=right.pk).truth == Pair.Truth.ABSENT


def next_pair(barn) -> int:
    waiting = barn.project.tasks.filter(lane=Task.Reason.SECOND_LABEL, state=Task.State.QUEUED)
    return waiting.order_by("-priority", "pk").values_list("pair_id", flat=True)[0]


def test_label_is_doubted_where_a_judged_model_is_sure_of_the_opposite(barn):
    sure, unsure, right = (labelled(barn) for _ in range(3))
    judged_rows(barn, [(sure, 0.93), (unsure, 0.7), (right, 0.02)])
    assert labels_doubted(project=barn.project) == [sure.pk]


def test_nothing_is_doubted_before_a_decision_or_without_its_rows(barn):
    pair = labelled(barn)
    assert labels_doubted(project=barn.project) == []
    judged_rows(barn, [(pair, 0.93)])
    (settings.RUNS_DIR / "barn/1/gate/rows.json").write_text("[{")
    assert labels_doubted(project=barn.project) == []


def test_only_for_admins_who_have_the_card_the_training_page_reads_the_judged_rows(barn, signed_in):
    pairs = [labelled(barn) for _ in range(2)]
    judged_rows(barn, [(pairs[0], 0.93), (pairs[1], 0.02)])
    address = reverse("training", args=["barn"])
    assert signed_in(barn.admin).get(address).context["doubted"] == 1
    shown = signed_in(barn.annotator).get(address).context
    assert not {"doubted", "second_labels"} & shown.keys()


def test_admin_asks_for_second_labels_from_the_training_page(barn, signed_in):
    pairs = [labelled(barn) for _ in range(2)]
    judged_rows(barn, [(pairs[0], 0.93), (pairs[1], 0.02)])
    training, address = (reverse(name, args=["barn"]) for name in ("training", "second-labels"))
    assert address in signed_in(barn.admin).get(training).content.decode()
    signed_in(barn.admin).post(address)
    assert Task.objects.filter(lane=Task.Reason.SECOND_LABEL).count() == 2
    shown = signed_in(barn.admin).get(training).content.decode()
    assert address not in shown
    assert "Labelled again, blind" in shown
