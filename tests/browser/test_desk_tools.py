"""The tools of the desk by real pointer events: brush, polygon, fingers."""

import pytest
from playwright.sync_api import Request

from tests.browser.desk_support import CHICKENS, DEAD_BACKEND, Desk, chickens_of, decode, deepest_pixel, submitted
from tests.processes import wait_until

pytestmark = pytest.mark.browser


def test_brush_works_and_says_why_when_the_backend_is_down(stage, settings):
    stage.add_task(CHICKENS)
    settings.MLBACKEND_URL = DEAD_BACKEND
    desk = stage.desk_for()
    desk.says("proposed")
    desk.click(50, 50)
    desk.page.get_by_text("still work").wait_for()
    desk.press("Escape", "b")
    desk.drag((40, 120), (80, 120))
    desk.press("Enter", "Space", "Space")
    [instance] = submitted().instances
    assert (instance["origin"], instance["model_version"], instance["prompts"]) == ("drawn", None, [])
    mask = decode(instance["mask"])
    assert mask[120, 42]
    assert mask[120, 78]
    assert not mask[60, 60]


def test_polygon_becomes_a_mask_of_what_lies_inside(stage):
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("p")
    for corner in ((60, 60), (120, 60), (120, 100), (60, 100), (60, 60)):
        desk.click(*corner)
    desk.press("Enter", "Space", "Space")
    mask = decode(submitted().instances[0]["mask"])
    assert mask[62:98, 62:118].all()
    assert abs(int(mask.sum()) - 60 * 40) < 120


def test_panel_says_in_the_server_s_words_why_the_task_is_queued(stage):
    task, _ = stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    assert desk.role("reason").text_content() == task.get_lane_display()


def test_two_fingers_zoom_without_clicking(stage):
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    asked = []
    desk.page.on("request", lambda request: asked.append(request.url) if "/click" in request.url else None)
    (left, y), (right, _) = desk.on_screen(90, 112), desk.on_screen(134, 112)
    spreads = [[(left - spread, y), (right + spread, y)] for spread in (0, 40, 90)]
    kinds = ("touchStart", "touchMove", "touchMove", "touchEnd")
    touch(desk, list(zip(kinds, [*spreads, []], strict=True)))
    desk.paints(2, 2, lambda ink: ink == 255, layer="image")
    wait_for_ink(desk, desk.role("stage").bounding_box()["x"] + 4, y, 255)
    assert asked == []


def test_a_corner_of_the_open_polygon_can_be_dragged_and_taken_back(stage):
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("p")
    for corner in ((60, 60), (120, 60), (100, 80), (60, 100), (180, 180)):
        desk.click(*corner)
    desk.press("Control+z")
    desk.says("Corner taken back")
    desk.drag((100, 80), (120, 100))
    desk.press("Enter", "Enter", "Space", "Space")
    mask = decode(submitted().instances[0]["mask"])
    assert mask[62:98, 62:118].all()
    assert abs(int(mask.sum()) - 60 * 40) < 120


def test_a_ring_that_is_painted_is_filled_by_one_key(stage):
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("b")
    for start, end in (((60, 60), (140, 60)), ((140, 60), (140, 130)), ((140, 130), (60, 130)), ((60, 130), (60, 60))):
        desk.drag(start, end)
    desk.press("o")
    desk.says("Holes filled")
    desk.press("Enter", "Space", "Space")
    assert decode(submitted().instances[0]["mask"])[60:130, 60:140].all()


def test_two_fingers_move_the_picture_without_clicking(stage):
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    asked = []
    desk.page.on("request", lambda request: asked.append(request.url) if "/click" in request.url else None)
    desk.press("0")
    edge = desk.on_screen(-20, 112)
    wait_for_ink(desk, *edge, 0)
    fingers = [desk.on_screen(90, 112), desk.on_screen(134, 112)]
    touch(desk, [("touchStart", fingers), *(("touchMove", moved(fingers, by)) for by in (-60, -160)), ("touchEnd", [])])
    wait_for_ink(desk, *edge, 255)
    assert asked == []


def test_a_drag_with_space_held_moves_the_picture_and_neither_clicks_nor_submits(stage):
    task, _ = stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    asked = []
    # A pointer that rests, as before a late button, may preview a mask: that is no click.
    desk.page.on("request", lambda request: None if is_preview(request) else asked.append(request.url))
    edge = desk.on_screen(-20, 112)
    wait_for_ink(desk, *edge, 0)
    desk.page.keyboard.down("Space")
    desk.drag((112, 112), (52, 112))
    desk.page.keyboard.up("Space")
    wait_for_ink(desk, *edge, 255)
    desk.next_frame()
    assert [url for url in asked if "/click" in url or "/submit" in url] == []
    task.refresh_from_db()
    assert task.state == "claimed"


def test_a_tap_adds_and_a_long_touch_takes_away(stage):
    _, scene = stage.add_task(CHICKENS)
    x, y = deepest_pixel(chickens_of(scene)[0])
    desk = stage.desk_for()
    desk.says("proposed")
    touch(desk, [("touchStart", [desk.on_screen(x, y)]), ("touchEnd", [])])
    desk.says("Mask in hand")
    with desk.page.expect_request("**/click") as asked:
        touch(desk, [("touchStart", [desk.on_screen(x + 6, y)])])
        desk.says("Lift the finger")
        touch(desk, [("touchEnd", [])])
    assert [point["label"] for point in asked.value.post_data_json["points"]] == [1, 0]


def test_a_pen_draws_on_while_the_palm_rests_on_the_screen(stage):
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("b")
    pen(desk, "mousePressed", 40, 120)
    touch(desk, [("touchStart", [desk.on_screen(120, 200)])])
    for x in (50, 60, 70, 80):
        pen(desk, "mouseMoved", x, 120)
    touch(desk, [("touchEnd", [])])
    pen(desk, "mouseReleased", 80, 120)
    desk.press("Enter", "Space", "Space")
    mask = decode(submitted().instances[0]["mask"])
    assert mask[120, 40:80].all()
    assert not mask[180:].any()


def is_preview(request: Request) -> bool:
    return "/click" in request.url and request.post_data_json.get("preview") is True


def moved(fingers: list, x: float) -> list:
    return [(at_x + x, at_y) for at_x, at_y in fingers]


def touch(desk: Desk, steps: list) -> None:
    """Real touch events: (kind, fingers in window pixels)."""
    for kind, fingers in steps:
        points = [{"x": x, "y": y} for x, y in fingers]
        desk.cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    desk.next_frame()


def pen(desk: Desk, kind: str, x: float, y: float) -> None:
    screen_x, screen_y = desk.on_screen(x, y)
    held = {"button": "left", "buttons": 1, "clickCount": 1}
    where = {"type": kind, "x": screen_x, "y": screen_y, "pointerType": "pen"}
    desk.cdp.send("Input.dispatchMouseEvent", where | held)


def wait_for_ink(desk: Desk, x: float, y: float, alpha: int) -> None:
    """The picture moves with the next frame, which a busy machine paints late."""
    wait_until(lambda: ink_on_screen(desk, x, y) == alpha)


def ink_on_screen(desk: Desk, x: float, y: float) -> int:
    """The alpha of the picture's canvas at a place of the window."""
    return desk.page.evaluate(
        """([x, y]) => {
          const canvas = document.querySelector("canvas[data-layer=image]");
          const box = canvas.getBoundingClientRect();
          return canvas.getContext("2d").getImageData(x - box.left, y - box.top, 1, 1).data[3];
        }""",
        [x, y],
    )
