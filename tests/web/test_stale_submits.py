"""Late and repeated answers: the database's clock decides, and nobody's work is overwritten or lost."""

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from annotator.common.errors import ConflictError
from annotator.models import Annotation, Draft, Task
from annotator.queue.leases import task_claim, task_heartbeat
from tests import factories
from tests.web.test_submit import submit

HOUR = timedelta(hours=1)


def database_now():
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_TIMESTAMP" if connection.vendor == "postgresql" else "SELECT datetime('now')")
        now = cursor.fetchone()[0]
    return now if connection.vendor == "postgresql" else datetime.fromisoformat(f"{now}+00:00")


@pytest.fixture(params=[HOUR, -HOUR], ids=["clock an hour ahead", "clock an hour behind"])
def skewed_clock(request, monkeypatch):
    """This web process's own clock is wrong; the database's is not."""
    true_now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: true_now() + request.param)


@pytest.mark.usefixtures("skewed_clock")
def test_lease_lasts_as_long_by_the_database_s_clock_whatever_this_machine_s_says(barn, settings):
    settings.LEASE_SECONDS = 600
    factories.make_task(barn.project)
    task = task_claim(project=barn.project, user=barn.annotator)
    assert 590 < (task.lease_until - database_now()).total_seconds() <= 601
    assert task_claim(project=barn.project, user=barn.reviewer) is None
    assert task_heartbeat(task=task, user=barn.annotator, attempt=1).lease_until >= task.lease_until


@pytest.mark.usefixtures("skewed_clock")
def test_lease_that_is_over_by_the_database_s_clock_goes_to_the_next(barn):
    factories.make_task(barn.project)
    task = task_claim(project=barn.project, user=barn.annotator)
    Task.objects.filter(pk=task.pk).update(lease_until=database_now() - timedelta(seconds=2))
    assert task_claim(project=barn.project, user=barn.reviewer) == task


def held_too_long(barn) -> Task:
    return factories.make_task(barn.project, holder=barn.annotator, lease_until=timezone.now() - HOUR)


def test_answer_after_the_lease_s_end_is_taken_as_long_as_nobody_else_has_the_task(barn):
    task = held_too_long(barn)
    submit(task, barn.annotator)
    assert Annotation.objects.get().author == barn.annotator


def test_answer_after_the_lease_s_end_leaves_the_next_holder_s_work_alone(barn):
    task = held_too_long(barn)
    theirs = task_claim(project=barn.project, user=barn.reviewer)
    with pytest.raises(ConflictError, match="kept as a draft"):
        submit(task, barn.annotator)
    submit(theirs, barn.reviewer, attempt=theirs.attempt)
    assert Annotation.objects.get().author == barn.reviewer
    assert Draft.objects.get().user == barn.annotator


def test_answer_kept_as_a_draft_can_be_handed_in_once_the_task_is_one_s_own_again(barn):
    task = held_too_long(barn)
    task_claim(project=barn.project, user=barn.reviewer)
    with pytest.raises(ConflictError):
        submit(task, barn.annotator)
    Task.objects.filter(pk=task.pk).update(lease_until=database_now() - timedelta(seconds=2))
    again = task_claim(project=barn.project, user=barn.annotator)
    kept = Draft.objects.get(user=barn.annotator).payload["submission"]
    submit(again, barn.annotator, attempt=again.attempt, verdict=kept["verdict"], instances=kept["instances"])
    assert not Draft.objects.exists()
    assert Annotation.objects.get().verdict == "present"
