"""Imported boxes in which the model draws: asked of the real demo model about drawn scenes, whose truth is known."""

import json
import zipfile

import pytest
from django.urls import reverse

from annotator.common.errors import RoostError
from annotator.common.masks import rle_box_xyxy, rle_iou
from annotator.data.box_drawing import boxes_draw_start, boxes_open
from annotator.data.exports import export_file, export_start
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshots import snapshot_create
from annotator.models import Draft, Image, Job, Pair, Task
from annotator.queue.selectors import begun_with
from tests import factories
from tests.web.box_support import (
    SIDE_PX,
    SKY,
    answer,
    boxes_drawn,
    coco,
    folder,
    import_done,
    job_done,
    meanwhile,
    pair_of,
    scenes,
    task_claimed,
)

__all__ = ["folder", "scenes"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_masks_are_those_of_the_objects_and_name_model_and_box(backend, barn, folder, scenes):
    imported, job = boxes_drawn(barn, folder)
    assert imported.report["boxes"] == 4
    assert (job.kind, job.params) == ("boxes", {"import": imported.pk, "model_version": "demo"})
    [chicken], [instance] = scenes["one.png"][1], pair_of("one.png").instances
    assert rle_iou(instance["mask"], chicken) > 0.85
    assert instance["prompts"] == [{"box": list(map(float, rle_box_xyxy(chicken)))}]
    assert (instance["origin"], instance["model_version"], instance["edited"]) == ("box", "demo", False)
    assert "coarse" not in instance
    pair = pair_of("two.png")
    assert all(
        rle_iou(one["mask"], mask) > 0.85 for one, mask in zip(pair.instances, scenes["two.png"][1], strict=False)
    )


def test_mask_that_does_not_fit_its_box_stays_a_box_and_is_counted(backend, barn, folder):
    _, job = boxes_drawn(barn, folder)
    assert {key: job.report[key] for key in ("drawn", "misfits", "failed", "pairs_left_alone")} == {
        **{"drawn": 3, "misfits": 1},
        **{"failed": [], "pairs_left_alone": 0},
    }
    left = pair_of("two.png").instances[2]
    assert (left["coarse"], rle_box_xyxy(left["mask"])) == (True, SKY)
    assert [pair.image.original_name for pair in boxes_open(project=barn.project)] == ["two.png"]


def test_nothing_of_it_is_truth_and_a_person_is_asked(backend, barn, folder):
    imported, _ = boxes_drawn(barn, folder)
    assert set(Pair.objects.values_list("truth", "truth_source", "settled_by_import")) == {("unseen", "", imported.pk)}
    words = {name: pair_of(name).tasks.get().reasons[0]["words"] for name in ("one.png", "two.png")}
    assert words["one.png"] == "Imported as a box, and demo drew the mask: take it, or correct it."
    assert "some of its boxes: outline the others" in words["two.png"]
    assert set(Task.objects.values_list("state", "lane")) == {("queued", "manual")}


def test_no_export_snapshot_or_image_page_holds_a_drawn_mask(backend, barn, folder, api):
    boxes_drawn(barn, folder, exhaustive=True, split="train")
    settled = factories.make_pair(barn.project, barn.chicken, truth="absent")
    snapshot = snapshot_create(project=barn.project, user=None)
    documents = [json.loads((snapshot_folder(snapshot) / f"{split}.json").read_text()) for split in snapshot.counts]
    assert [row["file_name"] for one in documents for row in one["images"]] == [settled.image.sha256]
    assert [row for one in documents for row in one["annotations"]] == []
    for include_unlooked in (False, True):
        options = {"include_unlooked": include_unlooked, "format": "coco"}
        job = job_done(export_start(project=barn.project, user=barn.admin, **options))
        assert _annotations(job) == []
    page = api(barn.admin).get(reverse("image", args=["barn", pair_of("one.png").image.sha256])).content.decode()
    assert pair_of("one.png").instances[0]["mask"]["counts"] not in page


def _annotations(job: Job) -> list:
    with zipfile.ZipFile(export_file(job=job)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".json") and "manifest" not in name]
        assert names
        return [row for name in names for row in json.loads(archive.read(name))["annotations"]]


def test_holdout_is_outlined_by_people(backend, barn, folder):
    """What judges the model is not drawn by it."""
    imported, _ = boxes_drawn(barn, folder)
    Image.objects.update(split="holdout")
    assert [one.get("coarse") for one in begun_with(pair_of("two.png").tasks.get())] == [True, True, True]
    assert [one["origin"] for one in begun_with(pair_of("two.png").tasks.get())] == ["drawn", "drawn", "drawn"]
    with pytest.raises(RoostError, match="holdout, which judges the model"):
        boxes_draw_start(project=barn.project, user=barn.admin, imported=imported)


def test_import_into_the_holdout_asks_no_model(barn, no_backend, folder):
    imported = import_done(barn, folder, boxes="draw", split="holdout")
    assert ("drawing" in imported.report, imported.report["boxes"]) == (False, 4)
    assert not Job.objects.filter(kind="boxes").exists()


def test_picture_with_more_boxes_than_a_call_takes_is_asked_in_parts(backend, barn, folder):
    spots = [(x, y, x + 9, y + 7) for x in range(0, 200, 20) for y in range(0, 210, 30)]
    coco(folder, [{"id": 1, "file_name": "one.png", "width": SIDE_PX, "height": SIDE_PX}], [(1, one) for one in spots])
    _, job = boxes_drawn(barn, folder, kind="coco")
    assert len(spots) == 70 == job.report["drawn"] + job.report["misfits"]
    assert len(pair_of("one.png").instances) == 70


def test_picture_that_the_model_can_not_read_fails_alone(backend, barn, folder):
    imported = import_done(barn, folder)
    Image.objects.filter(original_name="one.png").update(sha256="f" * 64)
    job = job_done(boxes_draw_start(project=barn.project, user=barn.admin, imported=imported))
    [failed] = job.report["failed"]
    assert (failed["image"], "not in the image store" in failed["reason"]) == ("one.png", True)
    assert (job.report["drawn"], job.report["failed_count"]) == (2, 1)
    assert pair_of("one.png").instances[0]["coarse"]


def test_drawn_mask_is_taken_at_the_desk_as_it_is(backend, barn, folder, api, scenes):
    boxes_drawn(barn, folder)
    task, address = task_claimed(api, barn, "one.png")
    [known] = task["begin_with"]
    assert (known["origin"], known["model_version"], "sketch" in known) == ("box", "demo", False)
    assert api(barn.annotator).post(address, answer(task, [known]), format="json").status_code < 300
    [kept] = Task.objects.get(pk=task["id"]).annotations.get().instances
    assert (kept["origin"], kept["model_version"]) == ("box", "demo")
    assert rle_iou(kept["mask"], scenes["one.png"][1][0]) > 0.85


def test_box_without_a_mask_is_still_no_answer(backend, barn, folder, api):
    boxes_drawn(barn, folder)
    task, address = task_claimed(api, barn, "two.png")
    refused = api(barn.annotator).post(address, answer(task, task["begin_with"]), format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "still_a_box")
    assert refused.json()["error"]["message"].startswith("Instance 3 is still the imported box")
    taken = api(barn.annotator).post(address, answer(task, task["begin_with"][:2]), format="json")
    assert taken.status_code < 300


def test_desk_that_showed_the_box_before_can_not_submit_it_after(backend, barn, folder, api):
    """It was open while the model drew, without holding the task: a look at a free task by its address, say."""
    import_done(barn, folder)
    task = pair_of("one.png").tasks.get()
    shown = api(barn.reviewer).get(f"/api/v1/tasks/{task.pk}").json()["begin_with"]
    job_done(boxes_draw_start(project=barn.project, user=barn.admin))
    claimed, address = task_claimed(api, barn, "one.png")
    refused = api(barn.annotator).post(address, answer(claimed, shown), format="json")
    assert refused.json()["error"]["code"] == "still_a_box"


def test_what_somebody_holds_or_has_begun_is_left_alone(backend, barn, folder, api):
    imported = import_done(barn, folder)
    before = {name: pair_of(name).instances for name in ("one.png", "two.png")}
    held, _ = task_claimed(api, barn, "one.png")
    Draft.objects.create(task=pair_of("two.png").tasks.get(), user=barn.reviewer, payload={"instances": []})
    job = job_done(boxes_draw_start(project=barn.project, user=barn.admin, imported=imported))
    assert (job.report["drawn"], job.report["pairs_left_alone"]) == (0, 2)
    assert {name: pair_of(name).instances for name in before} == before
    assert "Imported, and open" in Task.objects.get(pk=held["id"]).reasons[0]["words"]


def test_answer_that_came_while_the_model_drew_is_kept(backend, barn, folder, settings):
    """The answer comes between the question to the model and its answer."""
    imported = import_done(barn, folder)
    mine = [factories.make_instance(factories.box_rle(5, 5, 50, 50, SIDE_PX, SIDE_PX))]

    def answer() -> None:
        pairs = Pair.objects.filter(image__original_name="one.png")
        pairs.update(truth="present", truth_source="annotated", instances=mine, settled_by_import=None)

    with meanwhile(backend, settings, answer):
        job = job_done(boxes_draw_start(project=barn.project, user=barn.admin, imported=imported))
    assert (pair_of("one.png").instances, pair_of("one.png").truth) == (mine, "present")
    assert (job.report["drawn"], job.report["pairs_left_alone"]) == (2, 1)
