"""Who gets which task, for how long, and in what order."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotator.common.errors import ConflictError
from annotator.models import Review, Task
from annotator.people.services import member_set
from annotator.queue.leases import (
    lease_release_by_admin,
    task_claim,
    task_heartbeat,
    task_release,
    task_reopen,
    task_skip,
)
from tests import factories


def claim(barn, user=None, after=None) -> Task | None:
    return task_claim(project=barn.project, user=user or barn.annotator, after_id=after)


def lapse(task: Task) -> None:
    Task.objects.filter(pk=task.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_most_valuable_task_comes_first(barn):
    factories.make_task(barn.project, priority=0.2)
    best = factories.make_task(barn.project, priority=0.9)
    assert claim(barn) == best


def test_claimed_task_is_leased_to_the_caller_for_the_set_time(barn, settings):
    settings.LEASE_SECONDS = 120
    factories.make_task(barn.project)
    task = claim(barn)
    assert (task.state, task.holder_id, task.attempt) == (Task.State.CLAIMED, barn.annotator.pk, 1)
    assert 115 < (task.lease_until - timezone.now()).total_seconds() <= 121


def test_claiming_again_answers_the_task_already_held(barn):
    factories.make_task(barn.project)
    factories.make_task(barn.project)
    assert claim(barn) == claim(barn)
    assert Task.objects.filter(state=Task.State.CLAIMED).count() == 1


def test_next_task_is_another_and_a_person_holds_two_at_most(barn):
    for _ in range(4):
        factories.make_task(barn.project)
    screen = claim(barn)
    following = claim(barn, after=screen.pk)
    assert following != screen
    assert claim(barn, after=screen.pk) == following
    assert Task.objects.filter(state=Task.State.CLAIMED).count() == 2


def test_held_task_is_not_handed_to_somebody_else(barn):
    factories.make_task(barn.project)
    claim(barn)
    assert claim(barn, barn.reviewer) is None


def test_lapsed_lease_goes_to_the_next_person_with_a_higher_attempt(barn):
    factories.make_task(barn.project)
    lapse(claim(barn))
    task = claim(barn, barn.reviewer)
    assert (task.holder_id, task.attempt) == (barn.reviewer.pk, 2)


def test_lease_of_a_deactivated_person_is_free_at_once(barn):
    factories.make_task(barn.project)
    claim(barn)
    barn.annotator.is_active = False
    barn.annotator.save()
    assert claim(barn, barn.reviewer) is not None


def test_lease_of_a_removed_member_is_free_at_once(barn):
    task = factories.make_task(barn.project)
    claim(barn)
    member_set(project=barn.project, member=barn.annotator, role=None, user=barn.admin)
    task.refresh_from_db()
    assert (task.state, task.holder) == (Task.State.QUEUED, None)


def test_task_sent_back_comes_first_and_only_to_its_author(barn):
    factories.make_task(barn.project, priority=1.0)
    returned = factories.make_task(barn.project, state=Task.State.RETURNED, author=barn.annotator)
    assert claim(barn, barn.reviewer) != returned
    assert claim(barn) == returned


@pytest.mark.parametrize("how", ["removed", "deactivated"])
def test_task_sent_back_to_somebody_who_is_gone_comes_last_to_the_others(barn, how):
    returned = factories.make_task(barn.project, state=Task.State.RETURNED, author=barn.annotator)
    factories.make_annotation(returned, barn.annotator)
    Review.objects.create(annotation=returned.annotations.get(), reviewer=barn.admin, decision="send_back", comment="x")
    Task.objects.filter(pk=returned.pk).update(state=Task.State.RETURNED)
    assert claim(barn, barn.reviewer) is None
    if how == "removed":
        member_set(project=barn.project, member=barn.annotator, role=None, user=barn.admin)
    else:
        type(barn.annotator).objects.filter(pk=barn.annotator.pk).update(is_active=False)
    fresh = factories.make_task(barn.project)
    assert claim(barn, barn.reviewer) == fresh
    assert claim(barn, barn.admin) == returned


def test_heartbeat_prolongs_the_lease(barn):
    task = factories.make_task(barn.project, holder=barn.annotator)
    Task.objects.update(lease_until=timezone.now() + timedelta(seconds=5))
    renewed = task_heartbeat(task=task, user=barn.annotator, attempt=1)
    assert renewed.lease_until > timezone.now() + timedelta(seconds=60)


def test_heartbeat_with_an_older_attempt_loses(barn):
    task = factories.make_task(barn.project, holder=barn.annotator, attempt=3)
    with pytest.raises(ConflictError) as caught:
        task_heartbeat(task=task, user=barn.annotator, attempt=2)
    assert caught.value.code == "lease_lost"


def test_released_task_is_free_for_others(barn):
    factories.make_task(barn.project)
    task = claim(barn)
    task_release(task=task, user=barn.annotator, attempt=1)
    assert claim(barn, barn.reviewer) == task


def test_release_of_somebody_elses_task_changes_nothing(barn):
    task = factories.make_task(barn.project, holder=barn.annotator)
    with pytest.raises(ConflictError):
        task_release(task=task, user=barn.reviewer, attempt=1)
    task.refresh_from_db()
    assert task.holder == barn.annotator


def test_skipped_task_goes_behind_less_valuable_ones(barn):
    skipped = factories.make_task(barn.project, priority=0.9)
    other = factories.make_task(barn.project, priority=0.1)
    task_skip(task=claim(barn), user=barn.annotator, attempt=1, reason="too dark")
    assert claim(barn) == other
    assert claim(barn, after=other.pk) == skipped


def test_released_correction_goes_back_to_its_author_not_to_the_queue(barn):
    task = factories.make_task(barn.project)
    annotation = factories.make_annotation(task, barn.annotator)
    Review.objects.create(annotation=annotation, reviewer=barn.reviewer, decision="send_back", comment="Legs.")
    Task.objects.update(state=Task.State.RETURNED)
    task_release(task=claim(barn), user=barn.annotator, attempt=1)
    task.refresh_from_db()
    assert task.state == Task.State.RETURNED


def test_author_reopens_an_unreviewed_submission(barn):
    task = factories.make_task(barn.project)
    factories.make_annotation(task, barn.annotator)
    reopened = task_reopen(task=task, user=barn.annotator)
    assert (reopened.state, reopened.holder) == (Task.State.CLAIMED, barn.annotator)


def test_abandoned_reopened_task_waits_for_review_again(barn):
    task = factories.make_task(barn.project)
    factories.make_annotation(task, barn.annotator)
    lapse(task_reopen(task=task, user=barn.annotator))
    claim(barn, barn.reviewer)
    task.refresh_from_db()
    assert task.state == Task.State.SUBMITTED


def test_somebody_elses_submission_can_not_be_reopened(barn):
    task = factories.make_task(barn.project)
    factories.make_annotation(task, barn.annotator)
    with pytest.raises(ConflictError):
        task_reopen(task=task, user=barn.reviewer)


def test_admin_frees_a_task_that_somebody_sits_on(barn):
    task = factories.make_task(barn.project, holder=barn.annotator)
    lease_release_by_admin(task=task, admin=barn.admin)
    assert claim(barn, barn.reviewer) == task


def test_taken_rows_are_passed_over_by_the_database_where_it_can(barn):
    factories.make_task(barn.project)
    with CaptureQueriesContext(connection) as queries:
        claim(barn)
    said = any("SKIP LOCKED" in query["sql"] for query in queries)
    assert said == connection.features.has_select_for_update_skip_locked


@pytest.mark.django_db(transaction=True)
def test_eight_people_racing_for_three_tasks_get_each_once():
    barn = factories.make_barn()
    tasks = {factories.make_task(barn.project).pk for _ in range(3)}
    people = [factories.make_member(barn.project) for _ in range(8)]
    start, taken = threading.Barrier(len(people)), []

    def race(user) -> None:
        start.wait()
        taken.append(claim(barn, user))
        connections.close_all()

    threads = [threading.Thread(target=race, args=[user]) for user in people]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(taken) == 8
    assert sorted(task.pk for task in taken if task) == sorted(tasks)
