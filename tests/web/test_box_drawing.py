"""Imported boxes in which the model draws: asked of the real demo model about drawn scenes, whose truth is known."""

import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import reverse
from PIL import Image as PillowImage

from annotator.common.errors import ConflictError, RoostError
from annotator.common.masks import Rle, encode_mask, rle_box_xyxy, rle_iou
from annotator.data.box_drawing import boxes_draw_start, boxes_open
from annotator.data.exports import export_file, export_start
from annotator.data.import_undo import import_undo_start
from annotator.data.imports import import_start
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshots import snapshot_create
from annotator.jobs.runner import job_run, job_take
from annotator.jobs.services import job_cancel
from annotator.models import Draft, Image, Job, Pair, Task
from annotator.queue.selectors import begun_with
from tests import factories
from tests.backend_door import backend_door

pytestmark = pytest.mark.django_db(transaction=True)
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
    _coco(tmp_path, rows, [*boxes, (2, SKY)])
    return tmp_path


def _coco(folder: Path, rows: list[dict], boxes: list[tuple[int, tuple[int, int, int, int]]]) -> None:
    annotations = [
        {"id": n, "image_id": image, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for n, (image, (x0, y0, x1, y1)) in enumerate(boxes, start=1)
    ]
    document = {"images": rows, "annotations": annotations, "categories": [{"id": 1, "name": "chicken"}]}
    (folder / "boxes.json").write_text(json.dumps(document))


def _run(job: Job, state: str = "succeeded") -> Job:
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == state, job.reason
    return job


def _import(barn, folder: Path, **options) -> Job:
    return _run(import_start(project=barn.project, user=barn.admin, upload_path=folder, **options))


def _drawn(barn, folder: Path, **options) -> tuple[Job, Job]:
    """The import, and the job that drew in its boxes."""
    imported = _import(barn, folder, boxes="draw", **options)
    return imported, _run(Job.objects.get(pk=imported.report["drawing"]))


@contextmanager
def _meanwhile(backend, settings, act: Callable[[], object]) -> Iterator[None]:
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


def _pair(name: str) -> Pair:
    return Pair.objects.get(image__original_name=name)


def _claimed(api, barn, name: str) -> tuple[dict, str]:
    """The picture's task as the annotator's desk gets it, and where its answer goes."""
    Task.objects.filter(pair=_pair(name)).update(priority=9)
    task = api(barn.annotator).post("/api/v1/projects/barn/claim", {}, format="json").json()
    assert task["image"]["name"] == name
    return task, f"/api/v1/tasks/{task['id']}/submit"


def _answer(task: dict, instances: list[dict]) -> dict:
    fixed = {"attempt": task["attempt"], "client_uuid": str(uuid.uuid4()), "verdict": "present"}
    return {**fixed, "instances": instances}


def test_masks_are_those_of_the_objects_and_name_model_and_box(backend, barn, folder, scenes):
    imported, job = _drawn(barn, folder)
    assert imported.report["boxes"] == 4
    assert (job.kind, job.params) == ("boxes", {"import": imported.pk, "model_version": "demo"})
    [chicken], [instance] = scenes["one.png"][1], _pair("one.png").instances
    assert rle_iou(instance["mask"], chicken) > 0.85
    assert instance["prompts"] == [{"box": list(map(float, rle_box_xyxy(chicken)))}]
    assert (instance["origin"], instance["model_version"], instance["edited"]) == ("box", "demo", False)
    assert "coarse" not in instance
    pair = _pair("two.png")
    assert all(
        rle_iou(one["mask"], mask) > 0.85 for one, mask in zip(pair.instances, scenes["two.png"][1], strict=False)
    )


def test_mask_that_does_not_fit_its_box_stays_a_box_and_is_counted(backend, barn, folder):
    _, job = _drawn(barn, folder)
    assert {key: job.report[key] for key in ("drawn", "misfits", "failed", "pairs_left_alone")} == {
        **{"drawn": 3, "misfits": 1},
        **{"failed": [], "pairs_left_alone": 0},
    }
    left = _pair("two.png").instances[2]
    assert (left["coarse"], rle_box_xyxy(left["mask"])) == (True, SKY)
    assert [pair.image.original_name for pair in boxes_open(project=barn.project)] == ["two.png"]


def test_nothing_of_it_is_truth_and_a_person_is_asked(backend, barn, folder):
    imported, _ = _drawn(barn, folder)
    assert set(Pair.objects.values_list("truth", "truth_source", "settled_by_import")) == {("unseen", "", imported.pk)}
    words = {name: _pair(name).tasks.get().reasons[0]["words"] for name in ("one.png", "two.png")}
    assert words["one.png"] == "Imported as a box, and demo drew the mask: take it, or correct it."
    assert "some of its boxes: outline the others" in words["two.png"]
    assert set(Task.objects.values_list("state", "lane")) == {("queued", "manual")}


def test_no_export_snapshot_or_image_page_holds_a_drawn_mask(backend, barn, folder, api):
    _drawn(barn, folder, exhaustive=True, split="train")
    settled = factories.make_pair(barn.project, barn.chicken, truth="absent")
    snapshot = snapshot_create(project=barn.project, user=None)
    documents = [json.loads((snapshot_folder(snapshot) / f"{split}.json").read_text()) for split in snapshot.counts]
    assert [row["file_name"] for one in documents for row in one["images"]] == [settled.image.sha256]
    assert [row for one in documents for row in one["annotations"]] == []
    for include_unlooked in (False, True):
        options = {"include_unlooked": include_unlooked, "format": "coco"}
        job = _run(export_start(project=barn.project, user=barn.admin, **options))
        assert _annotations(job) == []
    page = api(barn.admin).get(reverse("image", args=["barn", _pair("one.png").image.sha256])).content.decode()
    assert _pair("one.png").instances[0]["mask"]["counts"] not in page


def _annotations(job: Job) -> list:
    with zipfile.ZipFile(export_file(job=job)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".json") and "manifest" not in name]
        assert names
        return [row for name in names for row in json.loads(archive.read(name))["annotations"]]


def test_drawn_mask_is_taken_at_the_desk_as_it_is(backend, barn, folder, api, scenes):
    _drawn(barn, folder)
    task, address = _claimed(api, barn, "one.png")
    [known] = task["begin_with"]
    assert (known["origin"], known["model_version"], "sketch" in known) == ("box", "demo", False)
    assert api(barn.annotator).post(address, _answer(task, [known]), format="json").status_code < 300
    [kept] = Task.objects.get(pk=task["id"]).annotations.get().instances
    assert (kept["origin"], kept["model_version"]) == ("box", "demo")
    assert rle_iou(kept["mask"], scenes["one.png"][1][0]) > 0.85


def test_box_without_a_mask_is_still_no_answer(backend, barn, folder, api):
    _drawn(barn, folder)
    task, address = _claimed(api, barn, "two.png")
    refused = api(barn.annotator).post(address, _answer(task, task["begin_with"]), format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "still_a_box")
    assert refused.json()["error"]["message"].startswith("Instance 3 is still the imported box")
    taken = api(barn.annotator).post(address, _answer(task, task["begin_with"][:2]), format="json")
    assert taken.status_code < 300


def test_desk_that_showed_the_box_before_can_not_submit_it_after(backend, barn, folder, api):
    """It was open while the model drew, without holding the task: a look at a free task by its address, say."""
    _import(barn, folder)
    task = _pair("one.png").tasks.get()
    shown = api(barn.reviewer).get(f"/api/v1/tasks/{task.pk}").json()["begin_with"]
    _run(boxes_draw_start(project=barn.project, user=barn.admin))
    claimed, address = _claimed(api, barn, "one.png")
    refused = api(barn.annotator).post(address, _answer(claimed, shown), format="json")
    assert refused.json()["error"]["code"] == "still_a_box"


def test_what_somebody_holds_or_has_begun_is_left_alone(backend, barn, folder, api):
    imported = _import(barn, folder)
    before = {name: _pair(name).instances for name in ("one.png", "two.png")}
    held, _ = _claimed(api, barn, "one.png")
    Draft.objects.create(task=_pair("two.png").tasks.get(), user=barn.reviewer, payload={"instances": []})
    job = _run(boxes_draw_start(project=barn.project, user=barn.admin, imported=imported))
    assert (job.report["drawn"], job.report["pairs_left_alone"]) == (0, 2)
    assert {name: _pair(name).instances for name in before} == before
    assert "Imported, and open" in Task.objects.get(pk=held["id"]).reasons[0]["words"]


def test_answer_that_came_while_the_model_drew_is_kept(backend, barn, folder, settings):
    """The answer comes between the question to the model and its answer."""
    imported = _import(barn, folder)
    mine = [factories.make_instance(factories.box_rle(5, 5, 50, 50, SIDE_PX, SIDE_PX))]

    def answer() -> None:
        pairs = Pair.objects.filter(image__original_name="one.png")
        pairs.update(truth="present", truth_source="annotated", instances=mine, settled_by_import=None)

    with _meanwhile(backend, settings, answer):
        job = _run(boxes_draw_start(project=barn.project, user=barn.admin, imported=imported))
    assert (_pair("one.png").instances, _pair("one.png").truth) == (mine, "present")
    assert (job.report["drawn"], job.report["pairs_left_alone"]) == (2, 1)


def test_holdout_is_outlined_by_people(backend, barn, folder):
    """What judges the model is not drawn by it."""
    imported, _ = _drawn(barn, folder)
    Image.objects.update(split="holdout")
    assert [one.get("coarse") for one in begun_with(_pair("two.png").tasks.get())] == [True, True, True]
    assert [one["origin"] for one in begun_with(_pair("two.png").tasks.get())] == ["drawn", "drawn", "drawn"]
    with pytest.raises(RoostError, match="holdout, which judges the model"):
        boxes_draw_start(project=barn.project, user=barn.admin, imported=imported)


def test_import_into_the_holdout_asks_no_model(barn, no_backend, folder):
    imported = _import(barn, folder, boxes="draw", split="holdout")
    assert ("drawing" in imported.report, imported.report["boxes"]) == (False, 4)
    assert not Job.objects.filter(kind="boxes").exists()


def test_backend_that_is_away_fails_the_drawing_and_not_the_import(barn, no_backend, folder, signed_in, monkeypatch):
    monkeypatch.setattr("annotator.common.patience.WAITS_SECONDS", (0.01,))
    imported = _import(barn, folder, boxes="draw")
    job = _run(Job.objects.get(pk=imported.report["drawing"]), "failed")
    assert job.reason.startswith("The ML backend does not answer")
    assert job.reason.endswith("waits in the queue as a box. Ask again once the model answers.")
    assert boxes_open(project=barn.project).count() == 2
    browser = signed_in(barn.admin)
    for shown in (imported, job):
        page = browser.get(reverse("job", args=["barn", shown.pk])).content.decode()
        assert reverse("import-boxes", args=["barn", imported.pk]) in page
    assert "does not answer" in page
    fragment = reverse("job-fragment", args=[job.pk])
    assert fragment in browser.get(reverse("job", args=["barn", imported.pk])).content.decode()
    assert "does not answer" in browser.get(fragment).content.decode()


def test_button_asks_again_and_goes_once_every_box_has_a_mask(backend, barn, folder, signed_in):
    imported = _import(barn, folder)
    browser, address = signed_in(barn.admin), reverse("import-boxes", args=["barn", imported.pk])
    answer = browser.post(address)
    job = Job.objects.get(kind="boxes")
    assert answer["Location"] == reverse("job", args=["barn", job.pk])
    shown = reverse("job", args=["barn", imported.pk])
    assert address not in browser.get(shown).content.decode()  # it is under way
    _run(job)
    Pair.objects.filter(image__original_name="two.png").update(truth="absent")
    page = browser.get(shown).content.decode()
    assert ("They wait for a person as boxes." in page, address in page) == (True, False)
    told = browser.post(address, follow=True).content.decode()
    assert "No box waits here any more" in told


def test_second_asking_at_once_is_refused(barn, folder):
    imported = _import(barn, folder)
    boxes_draw_start(project=barn.project, user=barn.admin, imported=imported)
    with pytest.raises(ConflictError, match="already"):
        boxes_draw_start(project=barn.project, user=barn.admin, imported=imported)


def test_job_whose_worker_died_goes_on_and_counts_all(backend, barn, folder):
    _, job = _drawn(barn, folder)
    drawn = _pair("one.png").instances
    # As after a crash behind the first picture: its mask is written, and the report says so.
    two = _pair("two.png")
    boxes = [{**one, "mask": one.get("sketch", one["mask"]), "coarse": True} for one in two.instances]
    Pair.objects.filter(pk=two.pk).update(instances=boxes)
    Job.objects.filter(pk=job.pk).update(state="queued", report={"drawn": 1})
    assert _run(job).report["drawn"] == 3
    assert _pair("one.png").instances == drawn
    assert len([one for one in _pair("two.png").instances if one["origin"] == "box"]) == 2


def test_import_that_runs_again_starts_no_second_drawing(barn, folder):
    imported = _import(barn, folder, boxes="draw")
    Job.objects.filter(pk=imported.pk).update(state="queued")
    assert _run(imported).report["drawing"] == Job.objects.get(kind="boxes").pk


def test_cancelled_drawing_keeps_what_is_drawn_and_can_be_asked_again(backend, barn, folder, settings, monkeypatch):
    monkeypatch.setattr("annotator.data.box_drawing.IMAGES_A_CALL", 1)
    monkeypatch.setattr("annotator.jobs.context.PROGRESS_EVERY_SECONDS", 0.0)
    _import(barn, folder)
    job = boxes_draw_start(project=barn.project, user=barn.admin)

    def cancel() -> None:
        job_cancel(job=Job.objects.get(pk=job.pk), user=barn.admin)
        time.sleep(3)  # until the lease's thread has seen it

    with _meanwhile(backend, settings, cancel):
        drawn = _run(job, "cancelled").report["drawn"]
    assert drawn in (1, 2)  # of one picture or the other
    assert job_take(job_id=job.pk) is None
    settings.MLBACKEND_URL = backend.base_url
    assert _run(boxes_draw_start(project=barn.project, user=barn.admin)).report["drawn"] == 3 - drawn


def test_undo_of_the_import_takes_the_masks_with_it(backend, barn, folder):
    imported, _ = _drawn(barn, folder)
    Image.objects.filter(original_name="one.png").update(added_by_import=None)  # it was here before
    _run(import_undo_start(job=imported, user=barn.admin))
    pair = Pair.objects.get()
    assert (pair.image.original_name, pair.instances, pair.truth) == ("one.png", [], "unseen")
    assert list(Task.objects.values_list("state", flat=True)) == ["withdrawn"]


def test_undo_while_the_model_draws_is_not_undone(backend, barn, folder, settings):
    imported = _import(barn, folder)
    Image.objects.update(added_by_import=None)

    with _meanwhile(backend, settings, lambda: _run(import_undo_start(job=imported, user=barn.admin))):
        assert _run(boxes_draw_start(project=barn.project, user=barn.admin)).report["drawn"] == 0
    assert list(Pair.objects.values_list("instances", flat=True)) == [[], []]


def test_picture_with_more_boxes_than_a_call_takes_is_asked_in_parts(backend, barn, folder):
    spots = [(x, y, x + 9, y + 7) for x in range(0, 200, 20) for y in range(0, 210, 30)]
    _coco(folder, [{"id": 1, "file_name": "one.png", "width": SIDE_PX, "height": SIDE_PX}], [(1, one) for one in spots])
    _, job = _drawn(barn, folder, kind="coco")
    assert len(spots) == 70 == job.report["drawn"] + job.report["misfits"]
    assert len(_pair("one.png").instances) == 70


def test_picture_that_the_model_can_not_read_fails_alone(backend, barn, folder):
    imported = _import(barn, folder)
    Image.objects.filter(original_name="one.png").update(sha256="f" * 64)
    job = _run(boxes_draw_start(project=barn.project, user=barn.admin, imported=imported))
    [failed] = job.report["failed"]
    assert (failed["image"], "not in the image store" in failed["reason"]) == ("one.png", True)
    assert (job.report["drawn"], job.report["failed_count"]) == (2, 1)
    assert _pair("one.png").instances[0]["coarse"]


def test_command_imports_draws_and_can_draw_later(backend, barn, folder):
    out = StringIO()
    call_command("import_data", "barn", str(folder), "--boxes", "draw", "--here", stdout=out, stderr=StringIO())
    assert "drawn: 3" in out.getvalue()
    Pair.objects.update(instances=[], settled_by_import=None)
    Task.objects.update(state="withdrawn")
    call_command("import_data", "barn", str(folder), "--here", stdout=StringIO(), stderr=StringIO())
    imported = Job.objects.filter(kind="import").latest("pk")
    assert imported.params["boxes"] == "sketch"
    later = StringIO()
    call_command("draw_boxes", "barn", "--import", str(imported.pk), "--here", stdout=later, stderr=StringIO())
    assert "drawn: 3" in later.getvalue()


def test_command_without_a_backend_imports_and_says_how_to_ask_again(barn, no_backend, folder, monkeypatch):
    monkeypatch.setattr("annotator.common.patience.WAITS_SECONDS", ())
    told, report = StringIO(), StringIO()
    options = ("--boxes", "draw", "--here", "--json")
    call_command("import_data", "barn", str(folder), *options, stdout=report, stderr=told)
    imported = Job.objects.get(kind="import")
    assert json.loads(report.getvalue())["boxes"] == 4
    assert f"manage.py draw_boxes barn --import {imported.pk}" in told.getvalue()


def test_page_and_api_take_the_choice(barn, api, signed_in, folder, settings):
    settings.SOURCES = (str(folder),)
    place = {"place": str(folder)}
    answer = api(barn.admin).post("/api/v1/projects/barn/imports", {**place, "boxes": "draw"}, format="json")
    assert Job.objects.get(pk=answer.json()["id"]).params["boxes"] == "draw"
    wrong = api(barn.admin).post("/api/v1/projects/barn/imports", {**place, "boxes": "guess"}, format="json")
    assert (wrong.status_code, wrong.json()["error"]["fields"]["detail"].keys()) == (400, {"boxes"})
    form = {"kind": "auto", "boxes": "draw", **place}
    assert signed_in(barn.admin).post(reverse("images", args=["barn"]), form).status_code == 302
    assert Job.objects.latest("pk").params["boxes"] == "draw"
    assert Job.objects.filter(kind="import").count() == 2
