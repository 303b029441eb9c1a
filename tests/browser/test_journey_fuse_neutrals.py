"""A real Roboflow export through the product in a browser: imported whole, one picture settled by a click, exported."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.desk_support import Desk, chromium, decode, visit
from tests.processes import PATIENCE_S, ROOT, wait_until
from tests.stack import Stack

pytestmark = pytest.mark.browser

__all__ = ["chromium"]

EXPORT = ROOT.parent / "shared" / "data" / "fuse_neutrals"
IMAGES, INSTANCES = {"train": 24, "val": 5}, 29


@pytest.fixture
def page(stack: Stack, chromium: Browser) -> Page:
    if not EXPORT.is_dir():
        pytest.skip("the fuse neutrals export is not on this machine: it is no part of the repository")
    page = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(1000 * PATIENCE_S)
    page.goto(f"{stack.url}/login/")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(stack.logins["admin"])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/login/" not in url)
    return page


def test_fuse_neutrals_are_imported_settled_by_a_click_and_exported(stack: Stack, page: Page, tmp_path: Path):
    make_project(stack, page)
    import_export(stack, page)
    task = queue_an_unannotated_picture(stack, page)
    settle_by_click(stack, page, task)
    check_export(download_coco(stack, page, tmp_path))


def make_project(stack: Stack, page: Page) -> None:
    page.goto(f"{stack.url}/projects/new/")
    page.get_by_label("Name").fill("Panels")
    page.get_by_label("What to look for").fill("fuse neutrals, breaker")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url("**/p/panels/**")


def import_export(stack: Stack, page: Page) -> None:
    page.goto(f"{stack.url}/p/panels/images/")
    page.get_by_label("Pictures, and whatever annotations lie beside them").check()
    page.get_by_label("Of each class that is outlined in a picture, every object is").check()
    page.locator("input[type=file]").set_input_files(
        {"name": "fuse neutrals.zip", "mimeType": "application/zip", "buffer": zipped(EXPORT)}
    )
    page.get_by_role("button", name="Import", exact=True).click()
    finished(stack, "import")
    counts = stack.rows(
        "select i.split, count(*) as images from annotator_image i join annotator_project p on p.id = i.project_id"
        " where p.slug = 'panels' group by i.split"
    )
    assert {row["split"]: row["images"] for row in counts} == IMAGES
    assert len(settled(stack)) == INSTANCES


def zipped(folder: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != "README.md":
                target.write(path, path.relative_to(folder))
    return file.getvalue()


def finished(stack: Stack, kind: str) -> dict:
    query = (
        "select j.state, j.reason, j.report from annotator_job j join annotator_project p on p.id = j.project_id"
        " where p.slug = 'panels' and j.kind = ? order by j.id desc limit 1"
    )
    wait_until(lambda: stack.rows(query, kind) and stack.rows(query, kind)[0]["state"] in ("succeeded", "failed"))
    [job] = stack.rows(query, kind)
    assert (job["state"], job["reason"]) == ("succeeded", "")
    return json.loads(job["report"])


def settled(stack: Stack) -> list[dict]:
    """Every instance that counts as truth in the project."""
    rows = stack.rows(
        "select r.instances from annotator_pair r join annotator_project p on p.id = r.project_id"
        " where p.slug = 'panels' and r.truth = 'present'"
    )
    return [instance for row in rows for instance in json.loads(row["instances"])]


def queue_an_unannotated_picture(stack: Stack, page: Page) -> int:
    """The export says nothing of breakers, so these pairs are unseen: mining queues them, whatever it thinks."""
    visit(page, f"{stack.url}/p/panels/queue/")
    page.get_by_role("button", name="Mine now").click()
    finished(stack, "mine")
    page.get_by_text("drawn barns only").first.wait_for()
    [task] = stack.rows(
        "select t.id from annotator_task t join annotator_pair r on r.id = t.pair_id"
        " join annotator_concept c on c.id = r.concept_id where c.name = 'breaker' order by t.priority desc limit 1"
    )
    return task["id"]


def settle_by_click(stack: Stack, page: Page, task: int) -> None:
    visit(page, f"{stack.url}/p/panels/desk/{task}/")
    desk = Desk(page)
    wait_until(lambda: desk.role("image-name").inner_text().strip() != "")
    page.mouse.click(*desk.on_screen(256, 256, side_px=512))
    desk.says("Mask in hand")
    desk.press("Enter")
    wait_until(lambda: desk.instance_count() == 1)
    answer = "select instances from annotator_annotation where task_id = ?"
    wait_until(lambda: desk.press("Space") or stack.rows(answer, task))
    [instance] = json.loads(stack.rows(answer, task)[0]["instances"])
    mask, point = decode(instance["mask"]), instance["prompts"][0]
    assert mask.shape == (512, 512)
    assert (round(point["x"]), round(point["y"])) == (256, 256)
    assert mask.any()


def download_coco(stack: Stack, page: Page, folder: Path) -> Path:
    visit(page, f"{stack.url}/p/panels/snapshots/")
    page.locator("select[name=format]").select_option("coco")
    page.get_by_role("button", name="Export", exact=True).click()
    finished(stack, "export")
    with page.expect_download() as download:
        page.get_by_role("link", name=".zip").first.click()
    path = folder / "export.zip"
    download.value.save_as(path)
    return path


def check_export(path: Path) -> None:
    """What came in goes out: 29 instances, their masks as those of the original polygons."""
    with zipfile.ZipFile(path) as archive:
        documents = [json.loads(archive.read(name)) for name in archive.namelist() if name.endswith("coco.json")]
    annotations = [row for document in documents for row in document["annotations"]]
    assert len(annotations) == INSTANCES
    areas = sorted(float(decode(row["segmentation"]).sum()) for row in annotations)
    assert areas == pytest.approx(sorted(original_areas()), rel=0.02)


def original_areas() -> list[float]:
    """By pycocotools from the export's own polygons."""
    from pycocotools import mask as coco_mask

    documents = [json.loads((EXPORT / split / "_annotations.coco.json").read_text()) for split in ("train", "valid")]
    return [
        float(coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(row["segmentation"], 512, 512))))
        for document in documents
        for row in document["annotations"]
    ]
