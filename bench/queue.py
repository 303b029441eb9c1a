"""How fast is a task handed out? `python -m bench.queue [--sizes 10000,100000,1000000]`

Tasks claimed and closed per second, and how long a claim takes, on SQLite and on Postgres (a server of its own), for 1
and 8 annotators at once, in queues of growing length. Beside ours what a user would write instead: under one lock for
everybody, pick the first task or a random one, then mark it. All in one run, against private databases; writes
bench/results/queue.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

CONCEPTS = 100
ANNOTATORS = (1, 8)
SECONDS_A_CELL = 5.0
COLUMNS = ("database", "tasks", "annotators", "how", "claims_per_s", "p50_ms", "p95_ms", "ours_over_it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--rows", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    sizes = [int(size) for size in asked.sizes.split(",")]
    if asked.rows:
        print(json.dumps(measure(sizes)))
        return
    rows = [row for database in asked.databases.split(",") for row in _in_own_process(database, asked.sizes)]
    print("".join(f"{column:>13}" for column in COLUMNS))
    for row in rows:
        print("".join(f"{row[column]!s:>13}" for column in COLUMNS))
    from bench.serving import environment, write_result

    write_result("queue", {"environment": environment(), "seconds_a_cell": SECONDS_A_CELL, "rows": rows})


def _in_own_process(database: str, sizes: str) -> list[dict[str, Any]]:
    from tests.services import postgres_server

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="roost-bench-queue-"))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOST_")}
        environment |= {"ROOST_VAR": folder, "DJANGO_SETTINGS_MODULE": "annotator.settings"}
        if database == "postgres":
            uri = stack.enter_context(postgres_server())
            # The peers wait for their lock longer than the product's limit allows.
            environment["ROOST_POSTGRES"] = uri.removesuffix("roost") + "postgres?options=-c%20lock_timeout%3D0"
        command = [sys.executable, "-m", "bench.queue", "--rows", "--sizes", sizes]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout)


def measure(sizes: list[int]) -> list[dict[str, Any]]:
    """All cells on the database of this process's settings, which is made here."""
    import django

    django.setup()
    from django.db import connection

    import annotator.queue.leases  # noqa: F401  before the forks, which would each spend their first second on it

    vendor = connection.vendor
    if vendor == "sqlite":
        connection.settings_dict["OPTIONS"]["timeout"] = 600
    project, people = _project()
    rows = []
    for size in sizes:
        _grow(project, size)
        for annotators in ANNOTATORS:
            found = {how.__name__: _cell(how, project, people[:annotators]) for how in (ours, first, random)}
            for name, cell in found.items():
                ratio = round(found["ours"]["claims_per_s"] / cell["claims_per_s"], 2)
                head = {"database": vendor, "tasks": size, "annotators": annotators, "how": name}
                rows.append(head | cell | {"ours_over_it": ratio})
                print(rows[-1], file=sys.stderr)
    return rows


def ours(project: Any, user: Any) -> int:
    from annotator.queue.leases import task_claim

    task = task_claim(project=project, user=user)
    assert task is not None
    return task.pk


def first(project: Any, user: Any) -> int:
    return _under_one_lock(project, user, "-priority")


def random(project: Any, user: Any) -> int:
    return _under_one_lock(project, user, "?")


def _under_one_lock(project: Any, user: Any, order: str) -> int:
    from django.db import transaction
    from django.db.models.functions import Now

    from annotator.models import Project, Task

    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        task = Task.objects.filter(project=project, state=Task.State.QUEUED).order_by(order).first()
        assert task is not None
        Task.objects.filter(pk=task.pk).update(state=Task.State.CLAIMED, holder=user, lease_until=Now())
        return task.pk


def _cell(how: Callable[[Any, Any], int], project: Any, people: list[Any]) -> dict[str, float]:
    """Everybody claims, and closes what they got, for some seconds; a closed task stays closed."""
    from django.db import connections

    connections.close_all()
    forks = multiprocessing.get_context("fork")
    start, results = forks.Barrier(len(people)), forks.Queue()
    annotators = [forks.Process(target=_annotate, args=(how, project, user, start, results)) for user in people]
    [annotator.start() for annotator in annotators]
    found = [results.get(timeout=200 * SECONDS_A_CELL) for _ in annotators]
    [annotator.join() for annotator in annotators]
    times_ms = [1000 * seconds for _, own in found for seconds in own]
    return {
        "claims": len(times_ms),
        "claims_per_s": round(len(times_ms) / max(seconds for seconds, _ in found), 1),
        "p50_ms": round(statistics.median(times_ms), 1),
        "p95_ms": round(statistics.quantiles(times_ms, n=20)[-1] if len(times_ms) > 1 else times_ms[0], 1),
    }


def _annotate(how: Callable[[Any, Any], int], project: Any, user: Any, start: Any, results: Any) -> None:
    from annotator.models import Task

    how_long, own = [], []
    Task.objects.exists()  # connected
    start.wait()
    started = time.perf_counter()
    while time.perf_counter() < started + SECONDS_A_CELL:
        began = time.perf_counter()
        task_id = how(project, user)
        how_long.append(time.perf_counter() - began)
        own.append(task_id)
        Task.objects.filter(pk=task_id).update(state=Task.State.APPROVED, holder=None, lease_until=None)
    assert len(set(own)) == len(own)
    results.put((time.perf_counter() - started, how_long))


def _project() -> tuple[Any, list[Any]]:
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from annotator.home.services import project_create
    from annotator.models import Membership, ModelVersion

    call_command("migrate", verbosity=0)
    people = [get_user_model().objects.create_user(f"person {number}") for number in range(max(ANNOTATORS))]
    ModelVersion.objects.get_or_create(name="demo", defaults={"weights_hash": "0" * 64})
    names = [f"thing {number}" for number in range(CONCEPTS)]
    project = project_create(name="Long queue", concepts=names, user=people[0])
    for user in people[1:]:
        Membership.objects.create(project=project, user=user, role=Membership.Role.ANNOTATOR)
    return project, people


def _grow(project: Any, size: int) -> None:
    """Up to about `size` tasks, one a pair, copied from a first one; priorities are spread evenly, in no order."""
    from django.db import connection

    from annotator.models import Image, Pair, Task

    began = time.perf_counter()
    have = project.images.count()
    facts = {"project": project, "width": 640, "height": 480, "media_type": "image/png", "bytes": 1}
    images = [Image(sha256=f"{n:064x}", original_name=str(n), **facts) for n in range(have, size // CONCEPTS)]
    new = Image.objects.bulk_create(images)
    if not have:
        pair = Pair.objects.create(project=project, image=new.pop(0), concept=project.concepts.first())
        Task.objects.create(project=project, pair=pair, lane="band", priority=0.5)
    first_new = new[0].pk
    product = "annotator_image i, annotator_concept c"
    _copied(Pair, {"image_id": "i.id", "concept_id": "c.id"}, product, f"i.id >= {first_new}")
    fresh = {"state": "'queued'", "attempt": "0", "holder_id": "NULL", "lease_until": "NULL"}
    spread = {"pair_id": "p.id", "priority": "((p.id * 7919) % 1000003) / 1000003.0"}
    _copied(Task, fresh | spread, "annotator_pair p", f"p.image_id >= {first_new}")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # as autovacuum does within minutes
            cursor.execute("VACUUM ANALYZE")
    waiting = Task.objects.filter(state=Task.State.QUEUED).count()
    assert waiting > 0.9 * size, f"{waiting} of {size} tasks wait"
    print(f"{size:,} tasks after {time.perf_counter() - began:.0f} s", file=sys.stderr)


def _copied(model: Any, other: dict[str, str], sources: str, which: str) -> None:
    """The model's first row once for each of `sources`, but for some columns; in the database, which is quick."""
    from django.db import connection

    names = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    values = [other.get(name, f"t.{name}") for name in names]
    table = model._meta.db_table
    first_row = f"t.id = (SELECT min(id) FROM {table})"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(names)}) "
            f"SELECT {', '.join(values)} FROM {table} t, {sources} WHERE {first_row} AND {which}"
        )


if __name__ == "__main__":
    main()
