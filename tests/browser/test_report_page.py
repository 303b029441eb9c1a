"""A report's page in a real browser: every chart and picture is drawn, in light and dark, on a phone, by keyboard."""

import pytest
from django.urls import reverse

from tests.browser.desk_support import chromium
from tests.browser.test_axe import STILL, axe, findings
from tests.browser.test_pages import stage
from tests.browser.test_run_pages import PHONE, fits, shot
from tests.made_reports import reported_gate
from tests.web.test_pages_training import judged_run

pytestmark = pytest.mark.browser

__all__ = ["axe", "chromium", "stage"]

DRAWN = """canvas => new Set(new Uint32Array(canvas.getContext('2d')
    .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size > 3"""


@pytest.fixture
def judged(barn, settings, tmp_path):
    settings.RUNS_DIR, settings.IMAGES_DIR = tmp_path / "runs", tmp_path / "images"
    return reported_gate(judged_run(barn), tmp_path / "made")[0]


def seen(page, canvas) -> None:
    """Each is drawn when somebody comes to see it."""
    canvas.scroll_into_view_if_needed()
    page.wait_for_function(f"canvas => ({DRAWN})(canvas)", arg=canvas.element_handle())


def test_every_chart_and_picture_is_drawn_in_light_and_dark_and_on_a_phone(stage, judged, barn, axe):
    page = stage.page_for(barn.reviewer, "")
    page.goto(stage.url + reverse("evaluation-report", args=["barn", judged.pk]))
    page.wait_for_function(STILL)
    canvases = page.locator("canvas[data-chart], canvas[data-card]")
    assert canvases.count() > 10 + 2 * 6
    for place in range(canvases.count()):
        seen(page, canvases.nth(place))
    for width in ({"width": 1280, "height": 900}, PHONE):
        page.set_viewport_size(width)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(200)
            shot(page, f"report-{scheme}-{width['width']}")
        assert fits(page), width
    assert findings(page, axe, "report", dark_too=True) == []


def test_from_the_run_to_a_report_its_numbers_and_a_picture_by_keyboard_alone(stage, judged, barn):
    page = stage.page_for(barn.reviewer, "training/1/")
    page.locator("section.gate").get_by_role("link", name=judged.version.name, exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#gallery")
    page.locator("#chart-metrics summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#chart-metrics").get_by_text("45.0 [30.0, 60.0]").is_visible()
    page.get_by_role("link", name="Missed wholly 1").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**kind=missed**")
    assert page.locator("canvas[data-card]").count() == 2
    page.get_by_role("link", name="The image with pair").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/images/**")
