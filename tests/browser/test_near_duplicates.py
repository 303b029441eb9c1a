"""A camera that hardly moves does not flood the queue: real frames, the shipped model's own features. No browser."""

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotator.data.image_store import image_add
from annotator.jobs.runner import job_run
from annotator.models import Pair, Project, Task
from annotator.queue.mining import mining_start
from training.demo.scenes import draw_scene

pytestmark = pytest.mark.django_db(transaction=True)

SIDE_PX = 160


def scene(seed: int) -> np.ndarray:
    return draw_scene(seed, "hard" if seed % 2 else "easy", SIDE_PX).image_HWC


def frame_of(scene_HWC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shifted by up to three pixels, noisy, a little lighter or darker."""
    moved = np.roll(scene_HWC, rng.integers(-3, 4, 2), (0, 1)).astype(float)
    return (moved + rng.normal(0, 6, moved.shape) + rng.uniform(-8, 8)).clip(0, 255).astype(np.uint8)


def store(project: Project, image_HWC: np.ndarray, name: str) -> None:
    data = io.BytesIO()
    PillowImage.fromarray(image_HWC).save(data, "PNG")
    data.seek(0)
    image_add(project=project, stream=data, name=name, split="train")


def mined(barn) -> list[str]:
    """The names of the images that one round of mining queues."""
    job = mining_start(project=barn.project, user=barn.admin)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    queued = Task.objects.filter(state=Task.State.QUEUED)
    return sorted(queued.values_list("pair__image__original_name", flat=True))


@pytest.fixture
def camera(barn, settings, backend_url):
    """Twenty frames of one scene beside five other scenes, all in doubt; a batch holds eight."""
    settings.MLBACKEND_URL = backend_url
    project, rng = barn.project, np.random.default_rng(0)
    project.presence_low, project.presence_high, project.audit_share, project.mine_batch = 0.0, 1.0, 0.0, 8
    project.save()
    for number in range(20):
        store(project, frame_of(scene(3_000_000), rng), f"frame {number}")
    for number in range(5):
        store(project, scene(3_000_025 + number), f"other {number}")
    return barn


def test_batch_holds_every_other_scene_before_the_camera_s_frames_fill_it(camera):
    names = mined(camera)
    assert [name for name in names if name.startswith("other")] == [f"other {number}" for number in range(5)]
    assert len(names) == 8


def test_frames_like_an_answered_one_wait_behind_other_scenes(camera):
    camera.project.mine_batch = 4
    camera.project.save()
    assert sum(name.startswith("frame") for name in mined(camera)) == 1
    Task.objects.update(state=Task.State.WITHDRAWN)
    frame = Pair.objects.get(image__original_name="frame 0")
    version = camera.project.serving_version
    Task.objects.create(project=camera.project, pair=frame, model_version=version, lane="band", state="approved")
    Pair.objects.filter(pk=frame.pk).update(truth="absent")
    assert not [name for name in mined(camera) if name.startswith("frame")]
