"""The gallery by keyboard: select with Shift, one key acts, Undo stands beside what was done."""

import io
import os
from pathlib import Path

import pytest
from django.conf import settings
from PIL import Image as Pixels

from annotator.models import Image, Task
from tests import factories
from tests.browser.test_axe import axe, findings
from tests.browser.test_pages import stage

pytestmark = pytest.mark.browser

__all__ = ["axe", "stage"]


def drawn(barn, number: int) -> Image:
    """A picture large enough to be looked at."""
    image = factories.make_image(barn.project, original_name=f"frame-{number:03d}.png", source="camera 1")
    buffer = io.BytesIO()
    Pixels.new("RGB", (320, 240), (40 + 12 * number, 120, 200 - 9 * number)).save(buffer, "PNG")
    (Path(settings.IMAGES_DIR) / image.sha256[:2] / image.sha256).write_bytes(buffer.getvalue())
    return image


def shown(page, name: str) -> None:
    """A picture of the page in both modes, where somebody asks for it: ROOST_SHOTS=<folder>."""
    if folder := os.environ.get("ROOST_SHOTS"):
        for mode in ("light", "dark"):
            page.emulate_media(color_scheme=mode)
            page.screenshot(path=f"{folder}/{name}-{mode}.png", full_page=True)


@pytest.fixture
def herd(barn):
    """Twelve pictures with two concepts, in every state of truth."""
    duck = factories.make_concept(barn.project, "duck")
    for number in range(12):
        image = drawn(barn, number)
        settled = {0: {"truth": "present"}, 1: {"truth": "absent"}, 2: {"truth": "present", "is_exhaustive": False}}
        factories.make_pair(barn.project, barn.chicken, image, **settled.get(number, {}))
        factories.make_pair(barn.project, duck, image)
    return barn


def test_selected_by_keys_queued_by_a_key_and_taken_back(stage, herd, axe):
    page = stage.page_for(herd.reviewer, "images/?truth=unseen")
    ticks = page.locator("#gallery-form input[name=image]")
    ticks.first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.get_by_text("2 selected", exact=True).first.wait_for()
    shown(page, "gallery-selected")
    page.locator("#act-concept").select_option(label="chicken")
    ticks.nth(1).focus()
    page.keyboard.press("q")
    page.get_by_text("Queue by hand: chicken").wait_for()
    assert set(Task.objects.values_list("state", "lane")) == {("queued", "manual")}
    assert Task.objects.count() == 2
    shown(page, "gallery-done")
    assert findings(page, axe, "images", dark_too=True) == []
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Taken back: 2.").wait_for()
    assert set(Task.objects.values_list("state", flat=True)) == {"withdrawn"}


def test_click_with_shift_selects_all_between_and_enter_opens(stage, herd):
    page = stage.page_for(herd.admin, "images/")
    ticks = page.locator("#gallery-form input[name=image]")
    ticks.nth(1).click()
    ticks.nth(4).click(modifiers=["Shift"])
    page.get_by_text("4 selected", exact=True).first.wait_for()
    ticks.nth(2).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/images/*/")
    shown(page, "image")


def test_deleted_after_a_question_and_brought_back_from_the_trash(stage, herd, axe):
    page = stage.page_for(herd.admin, "images/")
    page.locator("#gallery-form input[name=image]").first.click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("They go to the trash").wait_for()
    page.locator("#confirm-yes").click()
    page.get_by_text("1 changed").wait_for()
    assert herd.project.images.count() == 11
    page.get_by_role("link", name="Changes").click()
    page.get_by_role("cell", name="Delete", exact=True).wait_for()
    shown(page, "changes")
    page.get_by_role("link", name="Trash").click()
    page.locator("input[name=image]").first.click()
    shown(page, "trash")
    assert findings(page, axe, "trash", dark_too=True) == []
    page.get_by_role("button", name="Bring back").click()
    page.get_by_text("Brought back: 1.").wait_for()
    assert herd.project.images.count() == 12
