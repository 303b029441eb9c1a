"""Two web processes and two workers on one Postgres: leases, submissions, jobs and sweepers do not fight."""

import os
import subprocess
import sys
import threading
import uuid
from collections import Counter

import httpx
import pytest
from django.conf import settings
from django.db import connection

from annotator.models import Annotation, Job, Task
from annotator.people.tokens import token_create
from tests import factories
from tests.processes import PATIENCE_S, ROOT, celery_worker, wait_until
from tests.services import free_port

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only on Postgres: python -m tests.services"),
]
PEOPLE, TASKS, JOBS = 6, 30, 12


@pytest.fixture(scope="module")
def url(django_db_setup):
    """Gunicorn as `manage.py up` starts it with ROOST_WEB_WORKERS=2; yields the API's address."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gunicorn", "annotator.wsgi:application", "--bind", address]
    command += ["--worker-class", "gthread", "--workers", "2", "--threads", "8"]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "annotator.settings"}
    with (settings.VAR_DIR / "two_web.log").open("wb") as log:
        web = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(f"http://{address}/healthz"))
        yield f"http://{address}/api/v1"
    finally:
        web.terminate()
        web.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def work(url: str, token: str, slug: str, done: list[int], failures: list[str]) -> None:
    """Claim and answer until nothing is left; every answer is sent twice, as after a lost connection."""
    with httpx.Client(headers={"Authorization": f"Token {token}"}, timeout=PATIENCE_S) as client:
        while (claimed := client.post(f"{url}/projects/{slug}/claim", json={})).status_code == 200:
            task = claimed.json()
            body = {"attempt": task["attempt"], "client_uuid": str(uuid.uuid4()), "verdict": "absent", "instances": []}
            answers = [client.post(f"{url}/tasks/{task['id']}/submit", json=body) for _ in range(2)]
            failures += [answer.text for answer in answers if answer.status_code != 200]
            done.append(task["id"])
        if claimed.status_code != 204:
            failures.append(claimed.text)


def test_everybody_s_answers_are_stored_once_whichever_web_process_took_them(url):
    barn = factories.make_barn()
    tasks = [factories.make_task(barn.project).pk for _ in range(TASKS)]
    tokens = [token_create(user=factories.make_member(barn.project), name="test") for _ in range(PEOPLE)]
    done, failures = [], []
    told = (barn.project.slug, done, failures)
    people = [threading.Thread(target=work, args=(url, token, *told)) for token in tokens]
    [person.start() for person in people]
    [person.join() for person in people]
    assert failures == []
    assert sorted(done) == sorted(tasks)
    assert Counter(Annotation.objects.values_list("task", flat=True)) == dict.fromkeys(tasks, 1)
    assert set(Task.objects.values_list("state", flat=True)) == {Task.State.SUBMITTED}


def test_two_who_press_mine_at_once_start_one_mining(url):
    barn = factories.make_barn()
    factories.make_pair(barn.project)
    tokens = [token_create(user=barn.admin, name=f"tab {number}") for number in range(6)]
    start, statuses = threading.Barrier(len(tokens)), []

    def press(token: str) -> None:
        start.wait()
        headers = {"Authorization": f"Token {token}"}
        answer = httpx.post(f"{url}/projects/{barn.project.slug}/mine", headers=headers, json={}, timeout=PATIENCE_S)
        statuses.append(answer.status_code)

    presses = [threading.Thread(target=press, args=[token]) for token in tokens]
    [one.start() for one in presses]
    [one.join() for one in presses]
    assert Counter(statuses) == {202: 1, 409: 5}
    assert Job.objects.filter(kind=Job.Kind.MINE).count() == 1


def test_two_workers_with_a_sweeper_each_run_every_job_once(barn):
    log = settings.VAR_DIR / f"{uuid.uuid4().hex}.txt"
    with celery_worker("left", lease_seconds=1), celery_worker("right", lease_seconds=1):
        # Nobody rings: both sweepers find all of them waiting, again and again.
        jobs = [factories.make_job(barn.project, params={"steps": 8, "log": str(log)}) for _ in range(JOBS)]
        wait_until(lambda: Job.objects.filter(state="succeeded").count() == JOBS)
    starts = Counter(line.split()[1] for line in log.read_text().splitlines() if line.startswith("start"))
    assert starts == {str(job.pk): 1 for job in jobs}
    assert len({Job.objects.get(pk=job.pk).report["done_by"] for job in jobs}) == 2
