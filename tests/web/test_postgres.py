"""What only Postgres does: people who claim at once pass each other, and a connection that was cut is made again."""

import threading
import uuid

import psycopg
import pytest
from django.conf import settings
from django.db import close_old_connections, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotator.jobs.services import job_enqueue
from annotator.models import Job, Task
from annotator.queue.leases import task_claim
from tests import factories
from tests.processes import PATIENCE_S, celery_worker, wait_until

ON_POSTGRES = connection.vendor == "postgresql"
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not ON_POSTGRES, reason="only on Postgres: python -m tests.services"),
]
PEOPLE, TASKS, CLAIMS = 8, 120, 10


def add_tasks(barn, count: int) -> None:
    """Tasks over one image, a concept each: priority falls with the id."""
    image = factories.make_image(barn.project)
    for number in range(count):
        pair = factories.make_pair(barn.project, factories.make_concept(barn.project, f"thing {number}"), image)
        factories.make_task(barn.project, pair, predicted=False, priority=1 - number / count)


@pytest.fixture
def barn():
    return factories.make_barn()


def test_claim_does_not_wait_for_a_row_that_somebody_is_just_taking(barn):
    add_tasks(barn, 2)
    best, second = Task.objects.order_by("-priority")
    locked, done = threading.Event(), threading.Event()

    def hold_the_best() -> None:
        with transaction.atomic():
            Task.objects.select_for_update().get(pk=best.pk)
            locked.set()
            done.wait(timeout=PATIENCE_S)
        connections.close_all()

    other = threading.Thread(target=hold_the_best)
    other.start()
    assert locked.wait(timeout=PATIENCE_S)
    try:
        taken = task_claim(project=barn.project, user=barn.annotator)  # one that waits is refused by lock_timeout
    finally:
        done.set()
        other.join()
    assert taken == second


def test_submit_that_finds_its_row_locked_is_503_and_goes_through_later(barn, api):
    task = factories.make_task(barn.project, holder=barn.annotator)
    client, address = api(barn.annotator), reverse("api-submit", args=[task.pk])
    body = {"attempt": 1, "client_uuid": str(uuid.uuid4()), "verdict": "absent", "instances": []}
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 200")
    with psycopg.connect(settings_uri()) as other:
        other.execute("SELECT 1 FROM annotator_task WHERE id = %s FOR UPDATE", [task.pk])
        late = client.post(address, body, format="json")
    assert (late.status_code, late.json()["error"]["code"], late["Retry-After"]) == (503, "busy", "2")
    assert client.post(address, body, format="json").status_code == 200


def test_claim_reads_the_top_of_the_queue_and_sorts_nothing(barn):
    add_tasks(barn, TASKS)
    with CaptureQueriesContext(connection) as queries:
        task_claim(project=barn.project, user=barn.annotator)
    picked = next(query["sql"] for query in queries if 'assignee_id" IS NULL' in query["sql"])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute(f"EXPLAIN {picked}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "LockRows" in plan
    assert "queue_order" in plan
    assert "Sort" not in plan


def test_eight_people_claiming_at_once_take_the_most_valuable_each_in_its_order(barn):
    add_tasks(barn, TASKS)
    people = [factories.make_member(barn.project) for _ in range(PEOPLE)]
    start, taken = threading.Barrier(PEOPLE), {}

    def work(user) -> None:
        start.wait()
        own = taken[user.pk] = []
        for _ in range(CLAIMS):
            task = task_claim(project=barn.project, user=user)
            own.append(task.priority)
            Task.objects.filter(pk=task.pk).update(state=Task.State.SUBMITTED, holder=None)
        connections.close_all()

    threads = [threading.Thread(target=work, args=[user]) for user in people]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    best = [1 - number / TASKS for number in range(PEOPLE * CLAIMS)]
    assert sorted((priority for own in taken.values() for priority in own), reverse=True) == best
    assert all(own == sorted(own, reverse=True) for own in taken.values())


def test_connection_that_was_cut_is_made_again_for_the_next_request(barn, api):
    client = api(barn.annotator)
    address = reverse("api-project", args=[barn.project.slug])
    assert client.get(address).status_code == 200
    own = connection.connection.info.backend_pid
    with psycopg.connect(settings_uri(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [own])
    close_old_connections()  # every request begins with it, but the test client's
    assert client.get(address).status_code == 200


def test_job_whose_connection_is_cut_begins_again_and_ends_once(barn):
    log = settings.VAR_DIR / f"{uuid.uuid4().hex}.txt"
    with celery_worker("cut"):
        job_enqueue(project=barn.project, kind=Job.Kind.EXPORT, params={"steps": 60, "log": str(log)})
        wait_until(log.exists)
        with psycopg.connect(settings_uri(), autocommit=True) as other:
            others = "pid NOT IN (pg_backend_pid(), %s) AND datname = current_database()"
            own = connection.connection.info.backend_pid
            other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}", [own])
        wait_until(lambda: Job.objects.get().state == "succeeded")
    assert Job.objects.get().attempt == 2
    assert log.read_text().count("end") == 1


def settings_uri() -> str:
    row = settings.DATABASES["default"]
    return f"postgresql://{row['USER']}@{row['HOST']}:{row['PORT']}/{row['NAME']}"
