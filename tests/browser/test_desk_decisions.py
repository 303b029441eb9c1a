"""Deciding on a task by keys: accept, reject, absent, skip, and the queue behind it."""

import pytest

from annotator.models import Annotation, Image
from tests.browser.desk_support import ALSO_CHICKENS, CHICKENS, submitted

pytestmark = pytest.mark.browser


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


def test_skip_puts_the_task_behind_the_others(stage):
    task, _ = stage.add_task(CHICKENS, priority=2)
    stage.add_task(ALSO_CHICKENS, priority=1)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.press("s")
    desk.page.get_by_text(f"easy-{ALSO_CHICKENS}.png").wait_for()
    task.refresh_from_db()
    assert (task.skips, Annotation.objects.count()) == (1, 0)


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


def test_a_daily_goal_and_what_was_settled_today_survive_a_reload(stage):
    stage.add_task(CHICKENS, priority=2)
    stage.add_task(ALSO_CHICKENS, priority=1)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.role("goal").fill("8")
    desk.role("goal").press("Tab")
    desk.role("today").get_by_text("0 of 8").wait_for()
    desk.role("stage").focus()
    desk.press("n")
    desk.role("today").get_by_text("1 of 8").wait_for()
    desk.page.reload()
    desk.role("today").get_by_text("1 of 8").wait_for()
    assert desk.role("today-bar").get_attribute("value") == "1"


def test_a_long_file_name_leaves_the_panel_its_width(stage):
    task, _ = stage.add_task(CHICKENS)
    name = "Image-65_jpg.rf." + "f24eeebd672f80e422d76acd085a" * 3 + ".jpg"
    Image.objects.filter(pk=task.pair.image_id).update(original_name=name)
    desk = stage.desk_for()
    desk.page.get_by_text(name).wait_for()
    wide, shown = desk.page.locator(".desk-panel").evaluate("panel => [panel.scrollWidth, panel.clientWidth]")
    assert wide == shown
