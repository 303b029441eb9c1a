"""What the model does at the desk beyond clicks: more like this one, and a border looser or tighter."""

import pytest

from annotator.models import Draft
from tests.browser.desk_support import (
    ALSO_CHICKENS,
    CHICKENS,
    DEAD_BACKEND,
    chickens_of,
    decode,
    deepest_pixel,
    iou,
    press_until,
    submitted,
)
from tests.processes import wait_until

pytestmark = pytest.mark.browser


def test_f_proposes_what_the_model_finds_with_the_marked_one_as_its_example(stage):
    task, scene = stage.add_task(CHICKENS)
    prediction = task.pair.predictions.get()
    prediction.instances = []  # as where the word alone found nothing: the people's first click shows what is meant
    prediction.save()
    first, *others = sorted(chickens_of(scene), key=lambda mask: -mask.sum())
    desk = stage.desk_for()
    desk.says("0 proposed")
    desk.click(*deepest_pixel(first))
    desk.says("Mask in hand")
    desk.press("Enter", "f")
    desk.says("more found")
    found = desk.page.get_by_text("by example").count()
    assert found >= 1
    desk.press(*["Enter"] * found, "Space")
    marked, *exampled = submitted().instances
    frame = [float(value) for value in _frame(decode(marked["mask"]))]
    assert [(one["origin"], one["prompts"]) for one in exampled] == [("exemplar", [{"box": frame}])] * found
    assert all(max(iou(decode(one["mask"]), mask) for one in exampled) > 0.5 for mask in others)


def test_one_undo_takes_the_finds_off_and_a_reload_keeps_them(stage):
    task, scene = stage.add_task(CHICKENS)
    task.pair.predictions.update(instances=[])
    desk = stage.desk_for()
    desk.says("0 proposed")
    desk.click(*deepest_pixel(max(chickens_of(scene), key=lambda mask: mask.sum())))
    desk.says("Mask in hand")
    desk.press("Enter", "f")
    desk.says("more found")
    wait_until(lambda: Draft.objects.filter(task=task, payload__found__0__score__gt=0).exists())
    desk.page.reload()
    desk.says("Your draft is back")
    desk.page.get_by_text("by example").first.wait_for()
    press_until(desk.page, "f", lambda: "No more found" in desk.role("status").inner_text())
    assert desk.instance_count() == 1


def test_f_without_a_model_says_so_and_changes_nothing(stage, settings):
    stage.add_task(CHICKENS)
    settings.MLBACKEND_URL = DEAD_BACKEND
    desk = stage.desk_for()
    desk.says("proposed")
    rows = desk.role("proposals").locator("li").count()
    desk.press("f")
    desk.page.get_by_text("still work").wait_for()
    assert desk.role("proposals").locator("li").count() == rows


def test_a_search_that_takes_long_is_announced_and_dies_with_its_image(stage):
    stage.add_task(CHICKENS, priority=2)
    stage.add_task(ALSO_CHICKENS, priority=1)
    desk = stage.desk_for()
    desk.says("proposed")
    waiting = []
    desk.page.route("**/similar", lambda route: waiting.append(route))
    with desk.page.expect_request("**/similar"):  # on a busy machine it is sent after the words are shown
        desk.press("f")
    desk.page.get_by_text("looking for more like this …").wait_for()
    desk.press("s")
    desk.page.get_by_text(f"easy-{ALSO_CHICKENS}.png").wait_for()
    desk.page.get_by_text("looking for more like this …").wait_for(state="detached")
    [search] = waiting
    search.abort()


def test_bracket_keys_make_the_models_mask_tighter_and_looser(stage):
    _, scene = stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("proposed")
    desk.click(*deepest_pixel(max(chickens_of(scene), key=lambda mask: mask.sum())))
    desk.says("Mask in hand")
    desk.press("[", "[")
    desk.says("Tighter 2.")
    desk.press("Enter")
    desk.press("k", "r", "]")
    desk.says("A pixel larger all around")
    desk.press("Enter", "Space", "Space")
    [instance] = submitted().instances
    assert (instance["origin"], instance["edited"]) == ("click", True)


def test_a_bracket_key_held_down_is_one_undo_and_leaves_no_question_behind(stage):
    _, scene = stage.add_task(CHICKENS)
    x, y = deepest_pixel(max(chickens_of(scene), key=lambda mask: mask.sum()))
    desk = stage.desk_for()
    desk.says("proposed")
    desk.click(x, y)
    desk.says("Mask in hand")
    asked = []
    desk.page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/mask") else None)
    for _ in range(5):
        desk.page.keyboard.down("]")  # not released in between: repeats
    desk.page.keyboard.up("]")
    desk.says("Looser 5.")
    assert 1 <= len(asked) <= 5
    desk.press("Control+z")
    desk.says("Undone: looser or tighter")
    desk.press("Control+z")
    desk.says("Undone: click")


def test_the_box_that_a_mask_was_made_with_is_stored_and_replayed_in_review(stage):
    _, scene = stage.add_task(CHICKENS)
    frame = _frame(chickens_of(scene)[0])
    desk = stage.desk_for()
    desk.says("proposed")
    desk.drag(frame[:2], frame[2:])
    desk.says("Mask in hand")
    desk.press("Enter", "Space", "Space")
    annotation = submitted()
    [prompt] = annotation.instances[0]["prompts"]
    assert [abs(got - drawn) < 1 for got, drawn in zip(prompt["box"], frame, strict=True)] == [True] * 4
    page = stage.page_for(stage.barn.reviewer, f"review/{annotation.pk}/")
    page.get_by_text("clicked, a box").wait_for()
    page.keyboard.press("c")
    page.wait_for_function(
        "() => document.querySelector('[data-role=status]').textContent.includes('Instance 1, 1 of 1: a box')"
    )


def _frame(mask) -> tuple[int, int, int, int]:
    rows, columns = mask.nonzero()
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
