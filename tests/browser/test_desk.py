"""The two desks: a real browser, a real ML backend, real clicks and keys; what counts is the row read back."""

import pytest
from django.db import connection

from annotator.models import Annotation, Draft, Task
from tests import factories
from tests.browser.desk_support import Desk, Stage, backend_url, chromium, decode, deepest_pixel, iou
from tests.processes import wait_until

pytestmark = pytest.mark.browser

__all__ = ["backend_url", "chromium"]

CHICKENS = 2_000_003  # seeds of drawn easy scenes, found by looking
ALSO_CHICKENS = 2_000_007
DEAD_BACKEND = "http://127.0.0.1:9"


@pytest.fixture
def stage(live_server, barn, settings, backend_url, chromium):
    settings.MLBACKEND_URL = backend_url
    made = Stage(barn, live_server.url, chromium, [])
    yield made
    for context in chromium.contexts:
        context.close()
    assert made.troubles == []
    connection.close()


def chickens_of(scene) -> list:
    return [mask for concept, mask in scene.instances if concept == "chicken"]


def submitted(count: int = 1) -> Annotation:
    """The newest annotation once there are `count`."""
    wait_until(lambda: Annotation.objects.count() == count)
    return Annotation.objects.latest("pk")


def test_click_enter_space_stores_the_mask_of_the_clicked_object(stage):
    task, scene = stage.add_task(CHICKENS)
    chicken = max(chickens_of(scene), key=lambda mask: mask.sum())
    x, y = deepest_pixel(chicken)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.click(x, y)
    desk.says("Mask in hand")
    assert desk.ink_at(x, y + 4) > 0
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


def test_enter_accepts_the_best_proposal_and_x_rejects_the_next(stage):
    task, _ = stage.add_task(CHICKENS)
    proposed = task.pair.predictions.get().instances
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("Enter", *["x"] * (len(proposed) - 1), "Space")
    annotation = submitted()
    [instance] = annotation.instances
    assert instance["mask"] == proposed[0]["mask"]
    assert instance["origin"] == "proposal"
    assert annotation.rejected_proposals == list(range(1, len(proposed)))


def test_reload_brings_accepted_instances_and_the_mask_in_hand_back(stage):
    task, scene = stage.add_task(CHICKENS)
    x, y = deepest_pixel(chickens_of(scene)[0])
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("Enter")
    wait_until(lambda: Draft.objects.filter(task=task).exists())
    desk.click(x, y)
    desk.says("Mask in hand")
    desk.page.reload()
    desk.says("Your draft is back")
    assert desk.instance_count() == 1
    desk.press("Enter")
    desk.says("Instance 2 accepted")
    wait_until(lambda: len(Draft.objects.get(task=task).payload["instances"]) == 2)
    assert len(Draft.objects.get(task=task).payload["instances"][1]["prompts"]) == 1


def test_n_says_absent_and_brings_the_next_image(stage):
    task, _ = stage.add_task(CHICKENS, priority=2)
    stage.add_task(ALSO_CHICKENS, priority=1)
    proposed = task.pair.predictions.get().instances
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("n")
    annotation = submitted()
    assert (annotation.task, annotation.verdict, annotation.instances) == (task, "absent", [])
    assert annotation.rejected_proposals == list(range(len(proposed)))
    desk.page.get_by_text(f"easy-{ALSO_CHICKENS}.png").wait_for()


def test_a_key_held_down_answers_one_image_only(stage):
    first, _ = stage.add_task(CHICKENS, priority=2)
    stage.add_task(ALSO_CHICKENS, priority=1)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.page.keyboard.down("n")
    desk.page.get_by_text(f"easy-{ALSO_CHICKENS}.png").wait_for()
    desk.page.wait_for_timeout(400)
    desk.page.keyboard.down("n")  # not released in between: a repeat
    desk.page.keyboard.up("n")
    desk.press("s")
    desk.page.get_by_text(f"easy-{ALSO_CHICKENS}.png").wait_for()
    assert submitted().task == first


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
    desk.page.wait_for_timeout(100)
    assert desk.ink_at(x, y + 4) > before
    desk.press("h")
    desk.page.wait_for_timeout(100)
    assert desk.ink_at(x, y + 4) == before
    assert Draft.objects.count() == 0


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


def test_keyboard_alone_points_accepts_and_submits(stage):
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("ArrowDown", "ArrowRight", ".")
    desk.says("Mask in hand")
    desk.press("Escape", "j", "Enter", "Control+Enter", "Control+Enter")
    assert submitted().instances[0]["origin"] == "proposal"


def test_an_answer_waits_in_the_browser_while_the_server_is_away(stage):
    stage.add_task(CHICKENS, priority=2)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("Enter")
    desk.page.get_by_text("Saved", exact=True).wait_for()
    desk.page.route("**/submit", lambda route: route.abort())
    desk.press("Space", "Space")
    desk.page.get_by_text("1 answer waits in this browser").wait_for()
    assert Annotation.objects.count() == 0
    desk.page.unroute("**/submit")
    submitted()
    desk.page.get_by_text("The queue is empty").wait_for()


def test_an_answer_lost_on_the_way_back_is_stored_once(stage):
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    lost = []

    def deliver_but_lose_the_answer(route):
        if not lost:
            lost.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    desk.page.route("**/submit", deliver_but_lose_the_answer)
    desk.press("n")
    desk.page.get_by_text("1 answer waits in this browser").wait_for()
    assert lost == [200]
    with desk.page.expect_response(lambda response: "/submit" in response.url and response.ok):
        pass
    assert Annotation.objects.count() == 1


def test_an_answer_given_while_signed_out_is_stored_after_signing_in_again(stage):
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.page.context.clear_cookies()
    desk.press("n")
    desk.page.get_by_text("You are signed out").first.wait_for()
    assert Annotation.objects.count() == 0
    other = desk.page.context.new_page()
    other.goto(f"{stage.url}/login/")
    other.get_by_label("Name").fill(stage.barn.annotator.username)
    other.get_by_label("Password").fill("a long password")
    with desk.page.expect_response(lambda response: "/submit" in response.url and response.ok, timeout=30_000):
        other.get_by_role("button", name="Log in").click()
    assert submitted().verdict == "absent"


def test_a_second_tab_overwrites_nothing_unasked(stage):
    task, _ = stage.add_task(CHICKENS)
    first = stage.desk_for()
    first.says("proposed")
    page = first.page.context.new_page()
    page.goto(first.page.url)
    page.get_by_role("button", name="Start").click()
    second = Desk(page)
    second.says("proposed")
    second.press("x")
    second.page.get_by_text("Saved", exact=True).wait_for()
    first.press("Enter")
    first.page.get_by_text("Two states of this task").wait_for()
    assert Draft.objects.get(task=task).payload["rejected_proposals"] == [0]
    first.page.get_by_role("button", name="Take the other").click()
    first.page.get_by_text("Proposal 1 · ").get_by_text("false positive").wait_for()
    assert first.instance_count() == 0


def test_undo_after_submitting_reopens_the_answer(stage):
    task, _ = stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("Enter", "Space", "Space")
    submitted()
    desk.page.get_by_text("The queue is empty").wait_for()
    desk.press("Control+z")
    desk.says("Reopened")
    assert desk.instance_count() == 1
    task.refresh_from_db()
    assert (task.state, task.holder) == (Task.State.CLAIMED, stage.barn.annotator)
    desk.press("k", "Delete", "n")
    assert submitted(2).verdict == "absent"


def test_skip_puts_the_task_behind_the_others(stage):
    task, _ = stage.add_task(CHICKENS, priority=2)
    stage.add_task(ALSO_CHICKENS, priority=1)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("s")
    desk.page.get_by_text(f"easy-{ALSO_CHICKENS}.png").wait_for()
    task.refresh_from_db()
    assert (task.skips, Annotation.objects.count()) == (1, 0)


def test_an_answer_to_a_task_that_somebody_else_has_by_now_stays_a_draft(stage):
    task, _ = stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("Enter")
    desk.page.get_by_text("Saved", exact=True).wait_for()
    Task.objects.filter(pk=task.pk).update(holder=stage.barn.reviewer, attempt=2)
    desk.press("Space", "Space")
    desk.page.get_by_text("Your work is kept as a draft").wait_for()
    assert Annotation.objects.count() == 0
    draft = Draft.objects.get(task=task, user=stage.barn.annotator)
    assert len(draft.payload["instances"]) == 1


def test_an_answered_task_opened_by_its_address_is_only_looked_at_until_reopened(stage):
    task, _ = stage.add_task(CHICKENS)
    factories.make_annotation(task, stage.barn.annotator, verdict="absent")
    desk = Desk(stage.page_for(stage.barn.annotator, f"desk/{task.pk}/"))
    desk.says("proposed")
    desk.press("Enter", "n")
    desk.says("You only look at this task")
    desk.page.get_by_role("button", name="Reopen it").click()
    desk.says("Reopened")
    desk.press("Enter", "Space", "Space")
    assert submitted(2).verdict == "present"


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


def test_the_empty_queue_says_what_to_do(stage):
    desk = stage.desk_for()
    desk.page.get_by_text("The queue is empty").wait_for()
    assert desk.page.get_by_role("button", name="Look again").is_visible()


def test_a_remapped_key_works_at_once_and_after_reload(stage):
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("?")
    desk.page.get_by_role("button", name="Change the key of: Not in this image").click()
    desk.press("q")
    desk.page.get_by_text("Q is now").wait_for()
    desk.page.get_by_role("button", name="Close", exact=True).click()
    desk.page.reload()
    desk.says("proposed")
    desk.press("q")
    assert submitted().verdict == "absent"
