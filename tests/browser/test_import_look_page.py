"""The page of a look in a real browser: pictures, what names call negatives, one tick, one button; wide and narrow."""

import io

import pytest
from django.urls import reverse
from PIL import Image as Pixels

from annotator.data.imports import import_start
from annotator.jobs.runner import job_run
from annotator.models import Job, Pair
from tests import factories
from tests.browser.desk_support import chromium
from tests.browser.test_pages import stage
from tests.processes import wait_until
from tests.web.format_trees import tree
from training.demo.scenes import draw_scene

pytestmark = pytest.mark.browser
__all__ = ["chromium", "stage"]
NIGHT_SHIFT = "verified-by-the-night-shift-of-the-third-barn.csv"


def _scene(seed: int) -> bytes:
    out = io.BytesIO()
    Pixels.fromarray(draw_scene(seed, "easy").image_HWC).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def looked(barn, tmp_path) -> Job:
    factories.make_concept(barn.project, "duck")
    files = {f"cam-1/not-chicken/{number}.png": _scene(number) for number in range(3)} | {"9.png": _scene(9)}
    files[NIGHT_SHIFT] = "file_name,concept\n9.png,duck\n"
    files["negatives.csv"] = "file_name,concept\n9.png,chickens\nnowhere.png,duck\n"
    root = tree(tmp_path, files)
    job = import_start(project=barn.project, user=barn.admin, upload_path=root, dry_run=True)
    job_run(job_id=job.pk)
    return job


@pytest.mark.parametrize("width", [390, 1280])
def test_negatives_are_offered_unticked_and_one_tick_imports_them(stage, barn, looked, width):
    page = stage.page_for(barn.admin, "")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{stage.url}{reverse('job', args=['barn', looked.pk])}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".offers input:checked").count() == 0
    page.get_by_label("cam-1/not-chicken (folder, 3 pictures)").check()
    page.get_by_role("button", name="Import").click()
    wait_until(lambda: Job.objects.count() == 2)
    job_run(job_id=Job.objects.latest("pk").pk)
    assert Pair.objects.filter(truth="absent", concept=barn.chicken).count() == 4  # the list's own, and the folder's
    assert not Pair.objects.filter(truth="absent").exclude(concept=barn.chicken).exists()
