"""Jobs over a real Redis: it rings the bell, and may lose all it holds."""

import shutil
import signal
import socket
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.conf import settings
from kombu.exceptions import OperationalError

from annotator.celery import app
from annotator.jobs.broker import REDIS_OPTIONS
from annotator.jobs.tasks import run_job
from annotator.models import Job
from tests import factories
from tests.processes import celery_worker, wait_until
from tests.services import free_port, redis_server

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server (Debian: redis-server)"),
]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def log() -> Path:
    return settings.VAR_DIR / f"{uuid.uuid4().hex}.txt"


def ring(url: str, job: Job) -> None:
    """What `job_ring` sends, over this broker instead of the test settings' one."""
    with app.connection_for_write(url, transport_options=REDIS_OPTIONS) as connection:
        run_job.apply_async([job.pk], queue="default", connection=connection)


def lines(log: Path, word: str) -> int:
    return sum(line.startswith(word) for line in log.read_text().splitlines()) if log.exists() else 0


def ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.state == Job.State.SUCCEEDED


def test_killed_worker_s_job_comes_back_over_redis_and_ends_once(barn, port, log):
    job = factories.make_job(barn.project, params={"steps": 40, "log": str(log)})
    with redis_server(port) as url:
        with celery_worker("first", ROOST_BROKER_URL=url) as first:
            ring(url, job)
            wait_until(lambda: lines(log, "start") == 1)
            first.send_signal(signal.SIGKILL)
            first.wait()
        with celery_worker("second", ROOST_BROKER_URL=url):
            wait_until(lambda: ended(job))
    assert (job.attempt, lines(log, "start"), lines(log, "end")) == (2, 2, 1)


def test_redis_that_loses_everything_loses_no_job(barn, port, log):
    under_way = factories.make_job(barn.project, params={"steps": 40, "log": str(log)})
    with ExitStack() as first_redis:
        url = first_redis.enter_context(redis_server(port))
        with celery_worker("one", ROOST_BROKER_URL=url) as worker:
            ring(url, under_way)
            wait_until(lambda: lines(log, "start") == 1)
            announced = factories.make_job(barn.project, params={"log": str(log)})
            ring(url, announced)  # waits in Redis for the worker's only thread
            first_redis.close()
            with redis_server(port):
                wait_until(lambda: ended(under_way) and ended(announced))
                assert worker.poll() is None
    assert (under_way.attempt, lines(log, "start"), lines(log, "end")) == (1, 2, 2)


def test_redis_that_does_not_answer_holds_nobody_up(barn):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        began = time.monotonic()
        with pytest.raises(OperationalError):
            ring(url, factories.make_job(barn.project))
    assert time.monotonic() - began < 60  # a client without a limit would wait for as long as the server is silent
