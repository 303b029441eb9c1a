"""The band dragged by a real pointer; bulk approval and frames of settled scenes by pointer and by keyboard."""

import pytest

from annotator.models import Annotation, Review
from tests import factories
from tests.browser.test_pages import ink, stage
from tests.processes import wait_until
from tests.web.test_bulk_approval import answer
from tests.web.test_scene_frames import frame, settled

pytestmark = pytest.mark.browser

__all__ = ["stage"]

PLACE_OF = "presence => Chart.getChart('histogram').scales.x.getPixelForValue(presence)"


def drag(page, start: float, end: float) -> None:
    """From one presence score to another, half-way up the histogram."""
    box = page.locator("#histogram").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + page.evaluate(PLACE_OF, start), middle)
    page.mouse.down()
    page.mouse.move(box["x"] + page.evaluate(PLACE_OF, end), middle, steps=4)
    page.mouse.up()


def test_band_and_its_ends_are_dragged_and_kept(stage):
    for presence in (0.35, 0.45, 0.55, 0.9):
        factories.make_prediction(factories.make_pair(stage.barn.project), presence=presence)
    stage.barn.project.mine_batch = 2
    stage.barn.project.save()
    page = stage.page_for(stage.barn.admin, "queue/")
    page.get_by_text("2 in the band 0.40–0.60").wait_for()
    drag(page, 0.4, 0.3)
    page.get_by_text("3 would be in 0.30–0.60, 2 of them in a batch").wait_for()
    drag(page, 0.45, 0.8)
    page.get_by_text("1 would be in 0.65–0.95").wait_for()
    drag(page, 0.1, 0.2)  # outside: nothing is gripped
    page.get_by_label("Band to").focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_text("1 would be in 0.65–0.94").wait_for()
    page.get_by_role("button", name="Keep this band").click()
    page.get_by_text("The band is kept; the next").wait_for()
    stage.barn.project.refresh_from_db()
    assert (stage.barn.project.presence_low, stage.barn.project.presence_high) == (0.65, 0.94)


def test_grid_shows_masks_and_approves_what_is_left_selected(stage):
    stage.barn.project.bulk_look_share = 0.0
    stage.barn.project.save()
    rows = [answer(stage.barn) for _ in range(4)]
    page = stage.page_for(stage.barn.reviewer, "review/")
    page.get_by_role("link", name="4 for bulk approval").click()
    page.locator("canvas[data-answer='3']").wait_for()
    wait_until(lambda: ink(page, "canvas[data-answer='3']") > 3)
    page.locator(".bulk-card").nth(1).click()
    page.get_by_role("button", name="Approve 3").wait_for()
    page.locator("input[name=answer]").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Approve 2").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text("2 approved.").wait_for()
    assert set(Review.objects.values_list("annotation", flat=True)) == {rows[0].pk, rows[3].pk}
    page.get_by_text("Nothing waits for bulk approval").wait_for()


def test_grid_is_opened_one_by_one_by_a_key(stage):
    stage.barn.project.bulk_look_share = 0.0
    stage.barn.project.save()
    row = answer(stage.barn)
    page = stage.page_for(stage.barn.reviewer, "review/certain/")
    page.keyboard.press("o")
    page.wait_for_url(f"**/review/{row.pk}/")


def test_frames_of_a_settled_scene_are_confirmed_with_one_key(stage):
    source = settled(stage.barn)
    pairs = [frame(stage.barn) for _ in range(3)]
    page = stage.page_for(stage.barn.annotator, "queue/")
    page.get_by_role("link", name="3 pictures look like ones that are settled").click()
    page.get_by_role("button", name="Confirm 3").wait_for()
    wait_until(lambda: ink(page, "canvas[data-answer='2']") > 3)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Confirm 2").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text("2 confirmed.").wait_for()
    source.refresh_from_db()
    stored = Annotation.objects.filter(frame_of=source.settled_by_id)
    assert {one.pair_id for one in stored} == {pairs[0].pk, pairs[2].pk}
    assert all(one.active_seconds > 0 for one in stored)
    page.get_by_text("No frame looks like a settled one").wait_for()
