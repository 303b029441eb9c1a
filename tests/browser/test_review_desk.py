"""The reviewer's desk: send back, approve, fix."""

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
    reviewer.says("Pinned")
    page.keyboard.press("Control+Enter")
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


def test_an_absent_answer_opens_where_the_model_proposed_nothing_either(stage):
    task, _ = stage.add_task(CHICKENS)
    task.pair.predictions.update(instances=[])
    annotation = factories.make_annotation(task, stage.barn.annotator, verdict="absent")
    reviewer = Desk(stage.page_for(stage.barn.reviewer, f"review/{annotation.pk}/"))
    reviewer.says("not in this image")
    assert reviewer.role("iou").inner_text() == "–"


def test_while_fixing_every_action_has_a_button_too(stage):
    task, _ = stage.add_task(CHICKENS)
    size = task.pair.image.width, task.pair.image.height
    marked = factories.make_instance(factories.box_rle(20, 30, 90, 100, *size))
    annotation = factories.make_annotation(task, stage.barn.annotator, instances=[marked])
    page = stage.page_for(stage.barn.reviewer, f"review/{annotation.pk}/")
    reviewer = Desk(page)
    reviewer.says("1 marked")
    actions = page.get_by_role("group", name="While fixing")
    assert actions.is_hidden()
    page.get_by_role("button", name="Fix").click()
    actions.get_by_role("button", name="Select next").click()
    reviewer.role("instances").get_by_role("button").click()
    actions.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Save and approve").click()
    page.get_by_text("Nothing waits for review").wait_for()
    assert annotation.review.fixed.verdict == "absent"


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


def test_the_annotator_s_clicks_are_replayed_one_after_the_other(stage):
    task, _ = stage.add_task(CHICKENS)
    size = task.pair.image.width, task.pair.image.height
    clicks = [{"x": 40.0, "y": 60.0, "label": 1}, {"x": 180.0, "y": 180.0, "label": 0}]
    marked = factories.make_instance(factories.box_rle(20, 30, 90, 100, *size), prompts=clicks)
    annotation = factories.make_annotation(task, stage.barn.annotator, instances=[marked])
    reviewer = Desk(stage.page_for(stage.barn.reviewer, f"review/{annotation.pk}/"))
    reviewer.says("1 marked")
    reviewer.paints(180, 180, lambda ink: ink == 0)
    reviewer.press("c")
    reviewer.says("a click takes away")
    for x, y in ((40, 60), (180, 180)):
        reviewer.paints(x, y, lambda ink: ink > 0)


def test_a_comment_is_pinned_by_keyboard_alone(stage):
    task, _ = stage.add_task(CHICKENS)
    annotation = factories.make_annotation(task, stage.barn.annotator, verdict="absent")
    reviewer = Desk(stage.page_for(stage.barn.reviewer, f"review/{annotation.pk}/"))
    reviewer.says("not in this image")
    reviewer.press("r")
    reviewer.page.keyboard.type("Look again")
    reviewer.role("stage").focus()
    reviewer.press("ArrowLeft", ".")
    reviewer.says("Pinned")
    reviewer.press("Control+Enter")
    reviewer.page.get_by_text("Nothing waits for review").wait_for()
    review = annotation.review
    assert (review.comment, review.pin["y"]) == ("Look again", 112.0)
    assert review.pin["x"] < 112
