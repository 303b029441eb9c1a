"""How long does each page take with 100,000 images? `python -m bench.pages [--images 100000] [--folder DIR] [--write]`

Builds a project of that size in an own database (kept in DIR, and used again, when one is given), then asks for every
page and fragment as an admin through Django's own test client: server time without the network, the median and the
worst of seven. Nothing is read from or written to the real database.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from datetime import timedelta
from pathlib import Path

import numpy as np

REPEATS = 7
ROWS_A_WRITE = 2000
SIDE_PX = 640
RESULT = Path(__file__).parent / "results" / "pages.json"
WAITING = {"queued": 2000, "submitted": 600, "claimed": 40, "returned": 100, "withdrawn": 5000}
REASONS = ("band", "borderline", "fill", "audit")
PROJECT = ("", "loop/", "images/", "queue/", "queue/histogram/", "queue/checks/", "desk/", "review/", "review/certain/")
ADDRESSES = (
    *PROJECT,
    *("queue/?state=approved", "queue/?state=queued&presence_low=0.55&presence_high=0.6", "queue/?person=1"),
    "queue/?state=approved&presence_low=0.49999&presence_high=0.5",  # nothing fits: the whole state is walked
    *("images/?truth=absent", "snapshots/", "training/", "models/", "jobs/", "people/", "people/figures/"),
    *("settings/", "settings/concepts/1/", "settings/concepts/1/?into=2", "audit/"),
    *(f"images/{hashlib.sha256(b'1').hexdigest()}/", "images/?before=50000", "images/?source=camera+3&split=val"),
)
# Each filter of the gallery by itself, where its images are rare or old as well, and some together.
GALLERY = (
    *(
        "concept=1",
        "concept=2",
        "truth=unseen",
        "truth=absent",
        "truth=present",
        "truth=partial",
        "concept=1&truth=absent",
    ),
    *("origin=annotated", "origin=imported", "state=queued", "state=submitted", "state=approved", "reason=band"),
    *(
        "reason=manual",
        "split=holdout",
        "source=camera+3",
        "presence_low=0.49&presence_high=0.51",
        "presence_high=0.001",
    ),
    *("person=2", "disagreement=answers", "disagreement=corrected", "disagreement=suspected", "name=499999"),
    *("name=frame-000007", "name=nowhere", "job=1", "added_from=2020-01-01", "added_to=2020-01-01"),
    *("truth=absent&split=val&source=camera+3&state=approved&person=2", "truth=present&name=77&presence_low=0.9"),
    *("concept=2&truth=present", "before=100000&truth=unseen", "state=claimed&reason=audit&presence_low=0.9"),
)
API = ("/api/v1/projects/big/", "/api/v1/projects/big/reviews/", "/")


def build(images: int) -> None:
    """One in three settled, 2,000 in the queue, 600 to review, 40 in hand: as after some months."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from annotator.models import Project

    call_command("collectstatic", verbosity=0, interactive=False)
    call_command("migrate", verbosity=0)
    if Project.objects.exists():
        return
    people = [get_user_model().objects.create_user(name) for name in ("admin", "ann", "ben", "cleo", "rex")]
    project = _project(people)
    print(f"building a project of {images:,} images …", file=sys.stderr)
    _images(project, images)
    _pairs(project)
    _predictions(project, np.random.default_rng(0))
    _work(project, people, np.random.default_rng(1))
    _gallery(project)


def _gallery(project) -> None:
    """What the gallery's filters look for: an import, truth that is not every one drawn, answers that differ."""
    from django.db.models import F

    from annotator.models import Image, Job, Pair

    job = Job.objects.create(project=project, kind=Job.Kind.IMPORT, state=Job.State.SUCCEEDED)
    Image.objects.filter(project=project, pk__lt=20_000).update(added_by_import=job)
    pairs = Pair.objects.annotate(rest=F("image_id") % 500)
    settled = {"truth": "absent", "truth_source": "imported", "settled_by_import": job}
    pairs.filter(rest=3, image__lt=20_000, truth="unseen").update(**settled)
    pairs.filter(rest=7, truth="present").update(is_exhaustive=False)
    pairs.filter(rest=9, truth="present").update(answers_differ=True)
    returned = Pair.objects.filter(tasks__state="returned")
    Pair.objects.filter(pk__in=returned.values("pk")).update(was_corrected=True)


def _project(people):
    from annotator.home.services import project_create
    from annotator.models import Membership

    project = project_create(name="Big", concepts=["chicken"], user=people[0])
    roles = ("annotator", "annotator", "annotator", "reviewer")
    rows = [Membership(project=project, user=user, role=role) for user, role in zip(people[1:], roles, strict=True)]
    Membership.objects.bulk_create(rows)
    return project


def _images(project, count: int) -> None:
    from annotator.models import Image

    def row(number: int) -> Image:
        sha256 = hashlib.sha256(str(number).encode()).hexdigest()
        split = "holdout" if number % 20 == 0 else "val" if number % 10 == 1 else "train"
        more = {"media_type": "image/jpeg", "bytes": 90_000, "source": f"camera {number % 7}", "split": split}
        names = {"sha256": sha256, "original_name": f"frame-{number:06d}.jpg"}
        return Image(project=project, width=SIDE_PX, height=SIDE_PX, **names, **more)

    Image.objects.bulk_create((row(number) for number in range(count)), batch_size=ROWS_A_WRITE)


def _pairs(project) -> None:
    """Two pairs an image: one concept is scored, the other was added lately."""
    from annotator.concepts.services import concept_add
    from annotator.models import Pair

    chicken = project.concepts.get()
    images = project.images.values_list("pk", flat=True)
    rows = (Pair(project=project, image_id=image, concept=chicken) for image in images)
    Pair.objects.bulk_create(rows, batch_size=ROWS_A_WRITE)
    concept_add(project=project, name="feeder", user=None)


def _predictions(project, rng: np.random.Generator) -> None:
    """Features as long as SAM 3's; two masks each; a U of presence scores, as models have it."""
    from annotator.common.masks import encode_mask
    from annotator.models import Pair, Prediction

    mask_HW = np.zeros((SIDE_PX, SIDE_PX), dtype=np.uint8)
    mask_HW[100:300, 200:400] = 1
    rle, feature = encode_mask(mask_HW), rng.normal(size=1024).astype(np.float16).tobytes()

    def row(pair: int) -> Prediction:
        presence = float(rng.beta(0.4, 0.4))
        shared = {"mask": rle, "box": [200, 100, 400, 300], "stability": 0.9}
        instances = [shared | {"score": presence * query, "query_score": query} for query in (0.95, 0.6)]
        fields = {"presence": presence, "instances": instances, "min_stability": 0.9, "feature": feature}
        return Prediction(pair_id=pair, model_version_id=project.serving_version_id, **fields)

    pairs = Pair.objects.filter(project=project, concept__name="chicken").exclude(image__split="holdout")
    rows = (row(pair) for pair in pairs.values_list("pk", flat=True).order_by("pk"))
    Prediction.objects.bulk_create(rows, batch_size=ROWS_A_WRITE)


def _work(project, people, rng: np.random.Generator) -> None:
    """Tasks, answers and reviews on the first third of what is scored."""
    from annotator.models import Annotation, AuditEvent, Prediction, Task

    scored = list(Prediction.objects.values_list("pair_id", "presence", "instances").order_by("pk"))
    states = ["approved"] * (len(scored) // 3)
    for state, count in WAITING.items():
        states += [state] * count
    rows = list(zip(scored, states, strict=False))
    tasks = [_task(project, people[1 + n % 3], row, state, rng) for n, (row, state) in enumerate(rows)]
    Task.objects.bulk_create(tasks, batch_size=ROWS_A_WRITE)
    answered = [(task, row) for task, (row, _) in zip(tasks, rows, strict=True) if task.author is not None]
    answers = [_answer(task, presence, instances, rng) for task, (_, presence, instances) in answered]
    Annotation.objects.bulk_create(answers, batch_size=ROWS_A_WRITE)
    _decide(answers, people[4])
    events = [AuditEvent(project=project, actor=one.author, action="task.submit", subject="x") for one in answers]
    AuditEvent.objects.bulk_create(events, batch_size=ROWS_A_WRITE)


def _task(project, person, row, state: str, rng: np.random.Generator):
    from django.utils import timezone

    from annotator.models import Task

    pair, presence, _ = row
    shared = {"priority": float(rng.random()), "attempt": 1, "lane": REASONS[int(rng.integers(len(REASONS)))]}
    reasons = [{"kind": "band", "value": presence, "words": f"The model gives {presence:.2f}."}]
    if state in ("approved", "submitted", "returned"):
        shared["author"] = person
    if state == "claimed":
        shared |= {"holder": person, "lease_until": timezone.now() + timedelta(hours=9)}
    version = project.serving_version_id
    return Task(project=project, pair_id=pair, model_version_id=version, state=state, reasons=reasons, **shared)


def _answer(task, presence: float, instances: list, rng: np.random.Generator):
    """Says what the presence score makes likely; the masks are the model's own."""
    from annotator.models import Annotation

    there = bool(rng.random() < presence)
    taken = {"origin": "proposal", "prompts": [], "edited": False}
    said = [taken | {"mask": one["mask"], "score": one["score"]} for one in instances] if there else []
    fields = {"revision": 1, "client_uuid": uuid.uuid4(), "active_seconds": 3.0, "instances": said}
    verdict = "present" if there else "absent"
    return Annotation(task=task, pair_id=task.pair_id, author=task.author, verdict=verdict, **fields)


def _decide(answers, reviewer) -> None:
    from django.utils import timezone

    from annotator.models import Pair, Review

    decisions = {"approved": {"decision": "approve"}, "returned": {"decision": "send_back", "comment": "The tail."}}
    decided = [one for one in answers if one.task.state in decisions]
    reviews = [Review(annotation=one, reviewer=reviewer, **decisions[one.task.state]) for one in decided]
    Review.objects.bulk_create(reviews, batch_size=ROWS_A_WRITE)
    for verdict in ("present", "absent"):
        pairs = [one.pair_id for one in decided if one.task.state == "approved" and one.verdict == verdict]
        for at in range(0, len(pairs), 500):
            some = Pair.objects.filter(pk__in=pairs[at : at + 500])
            some.update(truth=verdict, truth_source="annotated", settled_at=timezone.now(), round=1)


def measure(only_gallery: bool = False) -> list[tuple[str, int, float, float, float]]:
    """(address, status, median ms, worst ms, median of the process's own CPU ms) of each."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(get_user_model().objects.get(username="admin"))
    rows = []
    gallery = [f"/p/big/images/?{one}" for one in GALLERY]
    every = gallery if only_gallery else [*(f"/p/big/{one}" for one in ADDRESSES), *gallery, *API]
    for address in every:
        status = client.get(address).status_code
        wall, cpu = [], []
        for _ in range(REPEATS):
            started = time.perf_counter(), time.process_time()
            client.get(address)
            wall.append(1000 * (time.perf_counter() - started[0]))
            cpu.append(1000 * (time.process_time() - started[1]))
        rows.append((address, status, statistics.median(wall), max(wall), statistics.median(cpu)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument(
        "--write", action="store_true", help="keep the figures in bench/results/pages.json or gallery.json"
    )
    parser.add_argument(
        "--gallery", action="store_true", help="the images' page with each of its filters, and no other"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="roost-pages-") as fresh:
        folder = asked.folder or Path(fresh)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["ROOST_VAR"] = str(folder)
        os.environ["DJANGO_SETTINGS_MODULE"] = "annotator.settings"
        import django

        django.setup()
        build(asked.images)
        load = round(os.getloadavg()[0], 1)
        rows = measure(asked.gallery)
    print(f"{asked.images:,} images, of {REPEATS}, load {load} on {os.cpu_count()} cores")
    print(f"{'page':62} {'median':>9} {'worst':>9} {'own CPU':>9}")
    for address, status, median, worst, cpu in rows:
        shown = address if status == 200 else f"{address} ({status})"
        print(f"{shown:62} {median:6.0f} ms {worst:6.0f} ms {cpu:6.0f} ms")
    if asked.write:
        result = RESULT.with_name("gallery.json") if asked.gallery else RESULT
        names = ("address", "status", "median_ms", "worst_ms", "own_cpu_ms")
        pages = [dict(zip(names, (row[0], row[1], *(round(one, 1) for one in row[2:])), strict=True)) for row in rows]
        conditions = {"images": asked.images, "repeats": REPEATS, "load_average": load, "cores": os.cpu_count()}
        result.write_text(json.dumps(conditions | {"pages": pages}, indent=1) + "\n")


if __name__ == "__main__":
    main()
