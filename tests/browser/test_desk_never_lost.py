"""Nothing is ever lost at the desk: reloads, a server away, a second tab, a lost lease, undo after submitting."""

import pytest

from annotator.models import Annotation, Draft, Task
from tests import factories
from tests.browser.desk_support import CHICKENS, Desk, chickens_of, deepest_pixel, submitted
from tests.processes import wait_until

pytestmark = pytest.mark.browser


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
    with desk.page.expect_response(lambda response: "/submit" in response.url and response.ok):
        other.get_by_role("button", name="Log in").click()
    assert submitted().verdict == "absent"


def test_the_older_of_two_tabs_gets_masks_for_its_clicks_too(stage):
    _, scene = stage.add_task(CHICKENS)
    older = stage.desk_for()
    older.says("proposed")
    newer = stage.desk_for()
    newer.says("proposed")
    x, y = deepest_pixel(chickens_of(scene)[0])
    newer.click(x, y)
    newer.says("Mask in hand")
    older.click(x, y)
    older.says("Mask in hand")


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
