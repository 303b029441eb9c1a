"""The reviewer's desk: send back, approve, mend."""

import pytest

from tests import factories
from tests.browser.desk_support import ALSO_CHICKENS, CHICKENS, Desk, decode

pytestmark = pytest.mark.browser


def test_what_was_sent_back_comes_first_with_its_comment_and_masks(stage):
    task, _ = stage.add_task(CHICKENS)
    stage.add_task(ALSO_CHICKENS, priority=9)
    size = task.pair.image.width, task.pair.image.height
    marked = factories.make_instance(factories.box_rle(20, 30, 90, 100, *size))
    annotation = factories.make_annotation(task, stage.barn.annotator, instances=[marked])
    page = stage.page_for(stage.barn.reviewer, f"review/{annotation.pk}/")
    reviewer = Desk(page)
    reviewer.says("1 marked")
    reviewer.press("r")
    page.get_by_label("What shall the author do?").fill("The tail is missing")
    reviewer.click(50, 60)
    page.get_by_role("button", name="Send back Ctrl+Enter").click()
    page.get_by_text("Nothing waits for review").wait_for()
    desk = stage.desk_for()
    desk.says("proposed")
    assert desk.role("returned-comment").inner_text() == "The tail is missing"
    assert desk.instance_count() == 1
    review = annotation.review
    assert (round(review.pin["x"]), round(review.pin["y"])) == (50, 60)
    assert review.decision == "send_back"


def test_reviewer_approves_by_one_key(stage):
    task, _ = stage.add_task(CHICKENS)
    annotation = factories.make_annotation(task, stage.barn.annotator, verdict="absent")
    page = stage.page_for(stage.barn.reviewer, f"review/{annotation.pk}/")
    Desk(page).says("not in this image")
    page.keyboard.press("a")
    page.get_by_text("Nothing waits for review").wait_for()
    task.pair.refresh_from_db()
    assert (annotation.review.decision, task.pair.truth) == ("approve", "absent")


def test_reviewer_mends_with_the_brush_and_approves(stage):
    task, _ = stage.add_task(CHICKENS)
    annotation = factories.make_annotation(task, stage.barn.annotator, verdict="absent")
    page = stage.page_for(stage.barn.reviewer, f"review/{annotation.pk}/")
    reviewer = Desk(page)
    reviewer.says("not in this image")
    reviewer.press("f", "b")
    reviewer.drag((60, 150), (100, 150))
    reviewer.press("Enter", "f")
    page.get_by_text("Nothing waits for review").wait_for()
    review = annotation.review
    [instance] = review.fixed.instances
    assert (review.decision, review.fixed.verdict, instance["origin"]) == ("fix", "present", "drawn")
    assert decode(instance["mask"])[150, 80]
