"""Pointing at objects at the desk: a real browser, a real ML backend; what counts is the row read back."""

import pytest

from annotator.models import Draft
from tests.browser.desk_support import CHICKENS, chickens_of, decode, deepest_pixel, iou, submitted
from tests.processes import wait_until

pytestmark = pytest.mark.browser


def test_click_enter_space_stores_the_mask_of_the_clicked_object(stage):
    task, scene = stage.add_task(CHICKENS)
    chicken = max(chickens_of(scene), key=lambda mask: mask.sum())
    x, y = deepest_pixel(chicken)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.click(x, y)
    desk.says("Mask in hand")
    desk.paints(x, y + 4, lambda ink: ink > 0)
    desk.press("Enter", "Space", "Space")
    annotation = submitted()
    task.refresh_from_db()
    [instance] = annotation.instances
    assert (annotation.verdict, annotation.author, task.state) == ("present", stage.barn.annotator, "submitted")
    assert (instance["origin"], instance["model_version"], instance["edited"]) == ("click", "demo", False)
    assert [round(instance["prompts"][0][axis] - at) for axis, at in (("x", x), ("y", y))] == [0, 0]
    mask = decode(instance["mask"])
    assert mask[int(y), int(x)]
    assert iou(mask, chicken) > 0.6


def test_right_click_takes_away_and_undo_brings_it_back(stage):
    _, scene = stage.add_task(CHICKENS)
    x, y = deepest_pixel(chickens_of(scene)[0])
    desk = stage.desk_for()
    desk.says("proposed")
    desk.click(x, y)
    desk.says("Mask in hand")
    with desk.page.expect_request("**/click") as asked:
        desk.click(x + 6, y, button="right")
    question = asked.value.post_data_json
    assert [point["label"] for point in question["points"]] == [1, 0]
    assert question["earlier_mask_id"]
    desk.press("Control+z")
    desk.says("Undone: click")
    desk.press("Enter")
    wait_until(lambda: Draft.objects.exists())
    assert len(Draft.objects.get().payload["instances"][0]["prompts"]) == 1


def test_a_drag_asks_with_a_box(stage):
    _, scene = stage.add_task(CHICKENS)
    rows, columns = chickens_of(scene)[0].nonzero()
    box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    desk = stage.desk_for()
    desk.says("proposed")
    with desk.page.expect_request("**/click") as asked:
        desk.drag(box[:2], box[2:])
    question = asked.value.post_data_json
    assert question["points"] == []
    assert [abs(got - drawn) < 1 for got, drawn in zip(question["box"], box, strict=True)] == [True] * 4
    desk.says("Mask in hand")


def test_a_resting_pointer_previews_a_mask_that_is_not_in_hand(stage):
    _, scene = stage.add_task(CHICKENS)
    x, y = deepest_pixel(max(chickens_of(scene), key=lambda mask: mask.sum()))
    desk = stage.desk_for()
    desk.says("proposed")
    before = desk.ink_at(x, y + 4)
    with desk.page.expect_response(lambda response: "/click" in response.url) as answered:
        desk.page.mouse.move(*desk.on_screen(x, y))
    assert answered.value.request.post_data_json["preview"] is True
    desk.paints(x, y + 4, lambda ink: ink > before)
    desk.press("h")
    desk.paints(x, y + 4, lambda ink: ink == before)
    assert Draft.objects.count() == 0


def test_keyboard_alone_points_accepts_and_submits(stage):
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("ArrowDown", "ArrowRight", ".")
    desk.says("Mask in hand")
    desk.press("Escape", "j", "Enter", "Control+Enter", "Control+Enter")
    assert submitted().instances[0]["origin"] == "proposal"
