"""The tools of the desk by real pointer events: brush, polygon, fingers."""

import pytest

from tests.browser.desk_support import CHICKENS, DEAD_BACKEND, decode, submitted

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


def test_two_fingers_zoom_without_clicking(stage):
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    asked = []
    desk.page.on("request", lambda request: asked.append(request.url) if "/click" in request.url else None)
    (left, y), (right, _) = desk.on_screen(90, 112), desk.on_screen(134, 112)
    session = desk.page.context.new_cdp_session(desk.page)
    for kind, spread in (("touchStart", 0), ("touchMove", 40), ("touchMove", 90), ("touchEnd", None)):
        fingers = [] if spread is None else [{"x": left - spread, "y": y}, {"x": right + spread, "y": y}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    desk.page.wait_for_timeout(200)
    corner = desk.ink_at(2, 2, layer="image")
    far_out = desk.page.evaluate(
        """() => {
          const canvas = document.querySelector("canvas[data-layer=image]");
          return canvas.getContext("2d").getImageData(4, canvas.height / 2, 1, 1).data[3];
        }"""
    )
    assert (corner, far_out) == (255, 255)
    assert asked == []
