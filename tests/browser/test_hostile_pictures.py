"""Case I04 in a browser: what poses as a picture never runs as a script of Roost's, wherever somebody opens it."""

import pytest
from django.urls import reverse
from PIL import Image as PillowImage
from PIL import PngImagePlugin
from playwright.sync_api import Error, Page

from annotator.data.imports import import_start
from annotator.jobs.runner import job_run
from annotator.models import Image
from tests import factories
from tests.browser.desk_support import Stage, chromium
from tests.browser.test_pages import stage

pytestmark = pytest.mark.browser

__all__ = ["chromium", "stage"]

SCRIPT = b"<script>document.title = 'ran'; fetch('/ran')</script>"
HTML = b"<!doctype html><html><body>" + SCRIPT + b"</body></html>"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload=\"document.title='ran'; fetch('/ran')\">" + SCRIPT + b"</svg>"
CALLED_LIKE_MARKUP = "<img src=x onerror=document.title='ran'>.png"


@pytest.fixture
def hostile(barn, tmp_path):
    """An import of pictures that are markup, markup that is called a picture, and a name that is markup."""
    for name, data in {
        "page.png": HTML,
        "drawing.png": SVG,
        "drawing.jpg": b"\xef\xbb\xbf<?xml version='1.0'?>" + SVG,
        "tail.jpg": factories.image_bytes(64, 48, seed=1, kind="JPEG") + HTML,
        CALLED_LIKE_MARKUP.replace("/", "_"): factories.image_bytes(64, 48, seed=2),
    }.items():
        (tmp_path / name).write_bytes(data)
    words = PngImagePlugin.PngInfo()
    words.add_text("Comment", HTML.decode())
    PillowImage.new("RGB", (64, 48), (9, 99, 9)).save(tmp_path / "words.png", pnginfo=words)
    job = import_start(project=barn.project, user=barn.admin, upload_path=tmp_path)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    return job


def opened(page: Page, url: str) -> None:
    """As if its address had been typed in; what is only downloaded is no page."""
    try:
        page.goto(url)
    except Error as error:
        if "Download is starting" not in error.message and "ERR_ABORTED" not in error.message:
            raise
        return
    page.wait_for_timeout(150)


def test_I04_control_same_bytes_would_run_where_they_are_served_as_a_page(stage: Stage):
    page = stage.page_for(stage.barn.admin, "")
    page.route("**/ran", lambda route: route.fulfill(status=204))
    page.route("**/as-html", lambda route: route.fulfill(content_type="text/html", body=HTML))
    with page.expect_request("**/ran", timeout=60_000):
        page.goto(stage.url + "/as-html")


def test_I04_nothing_that_poses_as_a_picture_runs_as_a_script_of_ours(stage: Stage, hostile):
    kept = {image.original_name: image.sha256 for image in Image.objects.all()}
    assert sorted(kept) == sorted(["tail.jpg", "words.png", CALLED_LIKE_MARKUP])
    page, slug = stage.page_for(stage.barn.admin, ""), stage.barn.project.slug
    ran: list[str] = []
    page.on("request", lambda request: ran.append(request.url) if request.url.endswith("/ran") else None)
    media = [reverse("media", args=[slug, sha256]) for sha256 in kept.values()]
    urls = [reverse("images", args=[slug]), reverse("job", args=[slug, hostile.pk])]
    urls += [reverse("import-problems-download", args=[slug, hostile.pk])]
    urls += [reverse("image", args=[slug, sha256]) for sha256 in kept.values()]
    urls += [url + query for url in media for query in ("", "?original=1", "?preview=320")]
    for url in urls:
        opened(page, stage.url + url)
        assert (page.title() == "ran", ran) == (False, []), url
    # Chromium's own way to show a lone picture wants a style, which our policy refuses; of scripts it must say nothing.
    stage.troubles[:] = [said for said in stage.troubles if "inline style" not in said]
    assert stage.troubles == []


@pytest.mark.parametrize("query", ["", "?original=1", "?preview=320"])
def test_I04_picture_is_sent_as_what_it_is_and_may_not_be_taken_for_anything_else(stage: Stage, hostile, query):
    page, slug = stage.page_for(stage.barn.admin, ""), stage.barn.project.slug
    for sha256 in Image.objects.values_list("sha256", flat=True):
        answer = page.request.get(stage.url + reverse("media", args=[slug, sha256]) + query)
        assert answer.headers["content-type"].split("/")[0] in ("image", "application")
        assert "html" not in answer.headers["content-type"]
        assert "svg" not in answer.headers["content-type"]
        assert answer.headers["x-content-type-options"] == "nosniff"
