"""An imported box at the desk, once as it came and once with the mask that the model drew in it."""

import json
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from annotator.common.masks import encode_mask, rle_box_xyxy, rle_iou
from annotator.data.imports import import_start
from annotator.jobs.runner import job_run
from annotator.models import Annotation, Job
from tests.browser.desk_support import ALSO_CHICKENS, chickens_of, submitted
from training.demo.scenes import Scene, draw_scene

pytestmark = pytest.mark.browser


@pytest.fixture
def scene(tmp_path) -> Scene:
    """One chicken, in a COCO export that knows its box alone."""
    scene = draw_scene(ALSO_CHICKENS, "easy", 224)
    PillowImage.fromarray(scene.image_HWC).save(tmp_path / "hen.png")
    [chicken] = chickens_of(scene)
    x0, y0, x1, y1 = rle_box_xyxy(encode_mask(chicken))
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
    image = {"id": 1, "file_name": "hen.png", "width": 224, "height": 224}
    document = {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "chicken"}]}
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    return scene


def imported(stage, folder: Path, boxes: str) -> Job:
    barn = stage.barn
    job = import_start(project=barn.project, user=barn.admin, upload_path=folder, boxes=boxes)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    if boxes == "draw":
        job_run(job_id=job.report["drawing"])
    return job


def test_mask_drawn_in_a_box_is_taken_with_one_key(stage, scene, tmp_path):
    imported(stage, tmp_path, "draw")
    desk = stage.desk_for()
    desk.role("instances").get_by_text("by the model in a box").wait_for()
    assert "demo drew the mask" in desk.role("reasons").text_content()
    desk.press("Space")
    [instance] = submitted().instances
    assert (instance["origin"], instance["model_version"], instance["edited"]) == ("box", "demo", False)
    assert rle_iou(instance["mask"], encode_mask(chickens_of(scene)[0])) > 0.85


def test_box_as_it_came_is_refused_with_words(stage, scene, tmp_path):
    imported(stage, tmp_path, "sketch")
    desk = stage.desk_for()
    desk.role("instances").get_by_text("1 ·").wait_for()
    desk.press("Space")
    desk.page.get_by_text("still the imported box").wait_for()
    assert not Annotation.objects.exists()
