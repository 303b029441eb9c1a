"""Jobs against real Celery workers: nothing is lost to a kill, nothing is run twice."""

import signal
import uuid
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from annotator.common.errors import ConflictError
from annotator.jobs import workers
from annotator.jobs.runner import job_run, job_take
from annotator.jobs.services import job_cancel, job_enqueue, jobs_sweep
from annotator.models import AuditEvent, Job
from tests import factories
from tests.processes import PATIENCE_S, celery_worker, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def log() -> Path:
    return settings.VAR_DIR / f"{uuid.uuid4().hex}.txt"


@pytest.fixture(autouse=True)
def _empty_broker():
    for message in (settings.VAR_DIR / "broker" / "queue").glob("*.msg"):
        message.unlink()


def _enqueue(project, **params) -> Job:
    return job_enqueue(project=project, kind=Job.Kind.EXPORT, params=params)


def _state(job: Job) -> str:
    job.refresh_from_db()
    return job.state


def test_worker_runs_an_enqueued_job_to_its_end(barn):
    with celery_worker("one") as worker:
        job = _enqueue(barn.project, steps=2)
        wait_until(lambda: _state(job) == "succeeded")
        assert job.report == {"done_by": worker.pid}
        assert (job.attempt, job.progress, job.lease_until) == (1, 1.0, None)
        assert workers.workers_alive() == {"one@test": worker.pid}


def test_killed_worker_s_job_comes_back_on_another_worker(barn, log):
    with celery_worker("first") as first:
        job = _enqueue(barn.project, steps=60, log=str(log))
        wait_until(lambda: log.exists())
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert _state(job) == "running"
    with celery_worker("second") as second:
        wait_until(lambda: _state(job) == "succeeded")
    assert job.attempt == 2
    assert job.report == {"done_by": second.pid}


def test_stopped_worker_hands_its_job_back_without_losing_an_attempt(barn, log):
    with celery_worker("first") as first:
        job = _enqueue(barn.project, steps=4000, log=str(log))
        wait_until(lambda: log.exists())
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=PATIENCE_S) == 0
    assert (_state(job), job.attempt) == ("queued", 0)


def test_three_workers_lose_none_of_many_messages_and_run_each_once(barn, log):
    with celery_worker("a") as a, celery_worker("b") as b, celery_worker("c") as c:
        jobs = [_enqueue(barn.project, log=str(log)) for _ in range(150)]
        wait_until(lambda: Job.objects.filter(state="succeeded").count() == len(jobs))
        assert [worker.poll() for worker in (a, b, c)] == [None, None, None]
    starts = Counter(line.split()[1] for line in log.read_text().splitlines() if line.startswith("start"))
    assert starts == {str(job.pk): 1 for job in jobs}


def test_running_job_stops_soon_after_it_is_cancelled(barn, log):
    with celery_worker("one"):
        job = _enqueue(barn.project, steps=2000, log=str(log))
        wait_until(lambda: log.exists())
        job_cancel(job=job, user=barn.admin)
        wait_until(lambda: _state(job) == "cancelled")
    assert "end" not in log.read_text()
    assert AuditEvent.objects.filter(action="job.cancel", actor=barn.admin).count() == 1


def test_unforeseen_failure_is_told_in_words_and_not_repeated(barn):
    with celery_worker("one"):
        job = _enqueue(barn.project, error="a bug of ours")
        wait_until(lambda: _state(job) == "failed")
    assert "a bug of ours" in job.reason
    assert "log" in job.reason
    assert job.attempt == 1


def test_waiting_job_is_cancelled_at_once_and_never_begins(barn):
    job = _enqueue(barn.project)
    job_cancel(job=job, user=barn.admin)
    assert _state(job) == "cancelled"
    assert job_run(job_id=job.pk) is False


def test_ended_job_cannot_be_cancelled(barn):
    job = factories.make_job(barn.project, state=Job.State.SUCCEEDED)
    with pytest.raises(ConflictError, match="already ended: done"):
        job_cancel(job=job, user=barn.admin)
    assert _state(job) == "succeeded"


def test_message_that_comes_twice_finds_the_job_taken(barn):
    job = factories.make_job(barn.project)
    assert job_take(job_id=job.pk) is not None
    assert job_take(job_id=job.pk) is None


def test_broker_that_is_away_costs_no_job(barn):
    queue = settings.VAR_DIR / "broker" / "queue"
    queue.rename(queue.with_name("away"))
    try:
        job = _enqueue(barn.project)
    finally:
        queue.with_name("away").rename(queue)
    assert _state(job) == "queued"
    assert list(queue.glob("*.msg")) == []
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=5))
    with celery_worker("one"):
        wait_until(lambda: _state(job) == "succeeded")


def test_second_mining_is_refused_while_one_is_under_way(barn):
    job_enqueue(project=barn.project, kind=Job.Kind.MINE)
    with pytest.raises(ConflictError) as refused:
        job_enqueue(project=barn.project, kind=Job.Kind.MINE)
    assert refused.value.code == "already_running"
    assert Job.objects.filter(kind=Job.Kind.MINE).count() == 1


def test_job_that_killed_every_worker_is_given_up(barn):
    past = timezone.now() - timedelta(seconds=5)
    job = factories.make_job(barn.project, state=Job.State.RUNNING, attempt=3, lease_until=past)
    assert jobs_sweep() == []
    assert _state(job) == "failed"
    assert "died 3 times" in job.reason


def test_living_worker_s_job_is_left_alone_by_the_sweeper(barn):
    future = timezone.now() + timedelta(seconds=20)
    job = factories.make_job(barn.project, state=Job.State.RUNNING, attempt=1, lease_until=future)
    assert jobs_sweep() == []
    assert job_take(job_id=job.pk) is None


def test_job_whose_message_was_lost_is_rung_again_but_not_at_every_sweep(barn):
    job = factories.make_job(barn.project)
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=5))
    assert jobs_sweep() == [job.pk]
    assert jobs_sweep() == []


def test_dead_worker_s_job_waits_again_and_is_not_rung_at_every_sweep(barn):
    past = timezone.now() - timedelta(seconds=5)
    job = factories.make_job(barn.project, state=Job.State.RUNNING, attempt=1, owner="gone", lease_until=past)
    assert jobs_sweep() == [job.pk]
    assert jobs_sweep() == []
    assert (_state(job), job.message) == ("queued", "Its worker died; waiting for another")
    assert job_take(job_id=job.pk).attempt == 2


def test_job_that_could_not_be_rung_is_rung_once_the_broker_is_back(barn):
    queue = settings.VAR_DIR / "broker" / "queue"
    past = timezone.now() - timedelta(seconds=5)
    job = factories.make_job(barn.project, state=Job.State.RUNNING, attempt=1, lease_until=past)
    queue.rename(queue.with_name("away"))
    try:
        assert jobs_sweep() == []
    finally:
        queue.with_name("away").rename(queue)
    assert jobs_sweep() == [job.pk]


def test_cancelled_job_of_a_dead_worker_ends_without_running_again(barn):
    past = timezone.now() - timedelta(seconds=5)
    job = factories.make_job(barn.project, state=Job.State.RUNNING, attempt=1, lease_until=past, cancel_requested=True)
    assert jobs_sweep() == []
    assert _state(job) == "cancelled"
