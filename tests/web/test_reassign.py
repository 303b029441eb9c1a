"""Giving a task to a certain person."""

import pytest
from django.urls import reverse

from annotator.common.errors import ConflictError, RoostError
from annotator.models import AuditEvent, Draft, Task
from annotator.people.services import member_set
from annotator.queue.assignments import task_reassign
from annotator.queue.candidates import tasks_withdrawable
from annotator.queue.leases import task_claim, task_skip
from annotator.review.decisions import review_decide
from tests import factories


def claim(barn, user) -> Task | None:
    return task_claim(project=barn.project, user=user)


def give(barn, task, member) -> Task:
    return task_reassign(task=task, member=member, user=barn.admin)


def test_waiting_task_goes_to_its_new_owner_alone_and_first(barn):
    factories.make_task(barn.project, priority=0.9)
    kept = give(barn, factories.make_task(barn.project, priority=0.1), barn.annotator)
    assert claim(barn, barn.reviewer) != kept
    assert claim(barn, barn.reviewer) != kept
    assert claim(barn, barn.annotator) == kept


def test_held_task_changes_hands_and_the_draft_stays(barn):
    task = factories.make_task(barn.project, holder=barn.annotator)
    Draft.objects.create(task=task, user=barn.annotator, payload={"half": "done"})
    give(barn, task, barn.reviewer)
    taken = claim(barn, barn.reviewer)
    assert (taken, taken.attempt) == (task, 2)
    assert Draft.objects.filter(user=barn.annotator).exists()


def test_correction_is_given_to_another_author(barn):
    task = factories.make_task(barn.project, state=Task.State.RETURNED, author=barn.annotator)
    give(barn, task, barn.reviewer)
    assert claim(barn, barn.annotator) is None
    assert claim(barn, barn.reviewer) == task


def test_reassignment_is_written_down(barn):
    task = give(barn, factories.make_task(barn.project, holder=barn.annotator), barn.reviewer)
    event = AuditEvent.objects.get(action="task.reassign")
    assert (event.subject, event.actor) == (str(task.pk), barn.admin)
    assert event.details == {"member": "reviewer", "holder": "annotator"}


def test_nobody_but_a_member_is_given_a_task(barn):
    task = factories.make_task(barn.project)
    with pytest.raises(RoostError, match="not a member"):
        give(barn, task, barn.outsider)
    task.refresh_from_db()
    assert task.assignee is None


@pytest.mark.parametrize("state", [Task.State.SUBMITTED, Task.State.APPROVED, Task.State.WITHDRAWN])
def test_task_that_is_not_open_stays_where_it_is(barn, state):
    task = factories.make_task(barn.project, state=state, author=barn.annotator)
    with pytest.raises(ConflictError):
        give(barn, task, barn.reviewer)


def test_kept_task_is_free_again_when_its_person_skips_it_or_leaves(barn):
    skipped = give(barn, factories.make_task(barn.project), barn.annotator)
    task_skip(task=claim(barn, barn.annotator), user=barn.annotator, attempt=1, reason="")
    assert claim(barn, barn.reviewer) == skipped
    kept = give(barn, factories.make_task(barn.project), barn.annotator)
    member_set(project=barn.project, member=barn.annotator, role=None, user=barn.admin)
    assert claim(barn, barn.admin) == kept


def test_kept_task_of_a_deactivated_person_is_free(barn):
    kept = give(barn, factories.make_task(barn.project), barn.annotator)
    barn.annotator.is_active = False
    barn.annotator.save()
    assert claim(barn, barn.reviewer) == kept


def test_mining_does_not_withdraw_a_kept_task(barn):
    kept = give(barn, factories.make_task(barn.project), barn.annotator)
    assert kept not in tasks_withdrawable(project=barn.project)


def test_page_gives_a_held_task_to_somebody(barn, signed_in):
    task = factories.make_task(barn.project, holder=barn.annotator)
    address = reverse("task-reassign", args=["barn", task.pk])
    assert address in signed_in(barn.reviewer).get(reverse("people", args=["barn"])).content.decode()
    answer = signed_in(barn.reviewer).post(address, {"member": barn.admin.pk})
    task.refresh_from_db()
    assert (answer["Location"], task.assignee) == (reverse("people", args=["barn"]), barn.admin)


def test_queue_gives_a_waiting_task_and_says_for_whom_it_is_kept(barn, signed_in):
    task = factories.make_task(barn.project)
    form = {"member": barn.annotator.pk, "from": "queue"}
    page = signed_in(barn.reviewer).post(reverse("task-reassign", args=["barn", task.pk]), form, follow=True)
    assert "kept for" in page.content.decode()
    assert reverse("task-reassign", args=["barn", task.pk]) in page.content.decode()


def test_api_gives_a_task_by_name_and_refuses_strangers(barn, api):
    task = factories.make_task(barn.project)
    address = reverse("api-reassign", args=[task.pk])
    assert api(barn.reviewer).post(address, {"member": "outsider"}, format="json").status_code == 400
    answer = api(barn.reviewer).post(address, {"member": "annotator"}, format="json")
    task.refresh_from_db()
    assert (answer.json(), task.assignee) == ({"state": "queued"}, barn.annotator)


def test_whoever_corrects_in_the_author_s_place_sees_the_answer(barn, api):
    other = factories.make_member(barn.project)
    sent_back = factories.make_annotation(factories.make_task(barn.project), barn.annotator)
    review_decide(annotation=sent_back, reviewer=barn.reviewer, decision="send_back", comment="The tail.")
    address = reverse("api-annotation", args=[sent_back.pk])
    assert api(other).get(address).status_code == 403
    give(barn, sent_back.task, other)
    task = api(other).post(reverse("api-claim", args=["barn"]), {}, format="json").json()
    assert (task["returned"]["comment"], task["returned"]["annotation"]) == ("The tail.", sent_back.pk)
    assert len(api(other).get(address).json()["annotation"]["instances"]) == 1
