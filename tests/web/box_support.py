"""What the tests of boxes that the model fills in share: drawn scenes whose truth is known, imports, the desk."""

import io
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection
from PIL import Image as PillowImage

from annotator.common.masks import Rle, encode_mask, rle_box_xyxy
from annotator.data.imports import import_start
from annotator.jobs.runner import job_run
from annotator.models import Job, Pair, Task
from tests.backend_door import backend_door

SIDE_PX = 224
SKY = (2, 2, 200, 8)  # nothing is there: the demo model draws something else, far from the box


@pytest.fixture(scope="module")
def scenes() -> dict[str, tuple[bytes, list[Rle]]]:
    """Drawn pictures of one and of two chickens: the file, and each chicken's mask."""
    from training.demo.scenes import draw_scene

    found = {}
    for name, seed in (("one.png", 2_000_007), ("two.png", 2_000_003)):
        scene = draw_scene(seed, "easy", SIDE_PX)
        file = io.BytesIO()
        PillowImage.fromarray(scene.image_HWC).save(file, "PNG")
        masks = [encode_mask(mask) for concept, mask in scene.instances if concept == "chicken"]
        found[name] = (file.getvalue(), masks)
    assert [len(masks) for _, masks in found.values()] == [1, 2]
    return found


@pytest.fixture
def folder(tmp_path, scenes) -> Path:
    """A COCO export with nothing but boxes: of the three chickens, and in two.png one around nothing."""
    rows, boxes = [], []
    for number, (name, (data, masks)) in enumerate(scenes.items(), start=1):
        (tmp_path / name).write_bytes(data)
        rows.append({"id": number, "file_name": name, "width": SIDE_PX, "height": SIDE_PX})
        boxes += [(number, rle_box_xyxy(mask)) for mask in masks]
    coco(tmp_path, rows, [*boxes, (2, SKY)])
    return tmp_path


def coco(folder: Path, rows: list[dict], boxes: list[tuple[int, tuple[int, int, int, int]]]) -> None:
    annotations = [
        {"id": n, "image_id": image, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for n, (image, (x0, y0, x1, y1)) in enumerate(boxes, start=1)
    ]
    document = {"images": rows, "annotations": annotations, "categories": [{"id": 1, "name": "chicken"}]}
    (folder / "boxes.json").write_text(json.dumps(document))


def job_done(job: Job, state: str = "succeeded") -> Job:
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == state, job.reason
    return job


def import_done(barn, folder: Path, **options) -> Job:
    return job_done(import_start(project=barn.project, user=barn.admin, upload_path=folder, **options))


def boxes_drawn(barn, folder: Path, **options) -> tuple[Job, Job]:
    """The import, and the job that drew in its boxes."""
    imported = import_done(barn, folder, boxes="draw", **options)
    return imported, job_done(Job.objects.get(pk=imported.report["drawing"]))


@contextmanager
def meanwhile(backend, settings, act: Callable[[], object]) -> Iterator[None]:
    """`act` happens while the model is asked, on a thread of its own."""

    def status(call: int) -> int:
        try:
            act()
        finally:
            connection.close()
        return 200

    with backend_door(backend.base_url, status=status) as door:
        settings.MLBACKEND_URL = door.url
        yield


def pair_of(name: str) -> Pair:
    return Pair.objects.get(image__original_name=name)


def task_claimed(api, barn, name: str) -> tuple[dict, str]:
    """The picture's task as the annotator's desk gets it, and where its answer goes."""
    Task.objects.filter(pair=pair_of(name)).update(priority=9)
    task = api(barn.annotator).post("/api/v1/projects/barn/claim", {}, format="json").json()
    assert task["image"]["name"] == name
    return task, f"/api/v1/tasks/{task['id']}/submit"


def answer(task: dict, instances: list[dict]) -> dict:
    fixed = {"attempt": task["attempt"], "client_uuid": str(uuid.uuid4()), "verdict": "present"}
    return {**fixed, "instances": instances}
