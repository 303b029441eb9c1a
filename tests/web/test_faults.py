"""A database that is locked or full, a process killed in the middle: whoever waits is told, and no work is lost."""

import os
import random
import signal
import sqlite3
import threading
import time
import uuid
from contextlib import closing, contextmanager
from multiprocessing import get_context

import pytest
from django.conf import settings
from django.db import connection, connections

from annotator.models import Annotation, AuditEvent, Draft, Task
from tests import factories
from tests.web.test_submit import submit

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's own way to fail")
pytestmark = pytest.mark.django_db(transaction=True)
TASKS, KILLS = 60, 5


@pytest.fixture
def barn():
    return factories.make_barn()


@pytest.fixture
def held(barn) -> Task:
    return factories.make_task(barn.project, holder=barn.annotator)


@contextmanager
def foreign_writer():
    """Somebody else's write lock on the database file; `rollback()` lets go of it."""
    name = settings.DATABASES["default"]["NAME"]
    with closing(sqlite3.connect(name, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def pragma(words: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {words}")
        return cursor.fetchone()[0]


def put_draft(client, task: Task, version: int, note: str):
    body = {"version": version, "payload": {"note": note}}
    return client.put(f"/api/v1/tasks/{task.pk}/draft", body, format="json")


@on_sqlite
def test_submit_waits_for_a_writer_that_holds_the_lock_for_seconds(barn, held):
    with foreign_writer() as other:
        let_go = threading.Event()
        threading.Timer(2.0, lambda: (let_go.set(), other.rollback())).start()
        submit(held, barn.annotator)
        assert let_go.is_set()
    assert Annotation.objects.count() == 1


@on_sqlite
def test_submit_that_waited_in_vain_is_503_and_stored_once_when_sent_again(barn, api, held):
    client = api(barn.annotator)
    body = {"attempt": 1, "client_uuid": str(uuid.uuid4()), "verdict": "absent", "instances": []}
    pragma("busy_timeout = 300")
    with foreign_writer():
        late = client.post(f"/api/v1/tasks/{held.pk}/submit", body, format="json")
    assert (late.status_code, late.json()["error"]["code"], late["Retry-After"]) == (503, "busy", "2")
    assert client.post(f"/api/v1/tasks/{held.pk}/submit", body, format="json").status_code == 200
    assert str(Annotation.objects.get().client_uuid) == body["client_uuid"]


@on_sqlite
def test_page_that_needs_the_locked_database_says_so(client, barn):
    client.raise_request_exception = False
    pragma("busy_timeout = 300")
    with foreign_writer():
        page = client.post("/login/", {"username": "annotator", "password": "a long password"})
    assert page.status_code == 503
    assert "The database is busy" in page.content.decode()


@on_sqlite
def test_draft_that_finds_the_disk_full_is_507_and_the_one_before_it_stays(barn, api, held):
    client = api(barn.annotator)
    assert put_draft(client, held, 0, "legs done").status_code == 200
    room = pragma("max_page_count")
    pragma(f"max_page_count = {pragma('page_count')}")
    try:
        refused = put_draft(client, held, 1, "x" * 3_000_000)
    finally:
        pragma(f"max_page_count = {room}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (507, "full")
    assert Draft.objects.get().payload == {"note": "legs done"}
    assert put_draft(client, held, 1, "wings too").status_code == 200


def _submit_all(tasks: list[Task], user, acknowledged: int) -> None:
    """In a process of its own: hand in one after the other, and say so of each that was taken."""
    connections.close_all()
    for task in tasks:
        submit(task, user, client_uuid=uuid.uuid5(uuid.NAMESPACE_OID, str(task.pk)))
        os.write(acknowledged, f"{task.pk}\n".encode())


def _killed_somewhere(tasks: list[Task], user, after_seconds: float) -> set[int]:
    reader, writer = os.pipe()
    connections.close_all()
    process = get_context("fork").Process(target=_submit_all, args=(tasks, user, writer))
    process.start()
    os.close(writer)
    time.sleep(after_seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with os.fdopen(reader) as told:
        return {int(line) for line in told.read().split()}


def test_submit_is_stored_whole_or_not_at_all_when_the_process_is_killed(barn):
    tasks = [factories.make_task(barn.project, holder=barn.annotator) for _ in range(TASKS)]
    acknowledged: set[int] = set()
    for kill in range(KILLS):
        left = [task for task in tasks if not Annotation.objects.filter(task=task).exists()]
        acknowledged |= _killed_somewhere(left, barn.annotator, random.Random(kill).uniform(0.1, 0.5))
        stored = set(Annotation.objects.values_list("task", flat=True))
        done = set(Task.objects.filter(state=Task.State.SUBMITTED, holder=None).values_list("pk", flat=True))
        told = {int(pk) for pk in AuditEvent.objects.filter(action="task.submit").values_list("subject", flat=True)}
        assert acknowledged <= stored == done == told
    assert acknowledged
    # The desk sends again what nobody acknowledged: each is there once in the end.
    for task in tasks:
        submit(task, barn.annotator, client_uuid=uuid.uuid5(uuid.NAMESPACE_OID, str(task.pk)))
    assert Annotation.objects.count() == TASKS
