"""A tab that is open all day holds on to no more than it needs; `bench.desk --flat` tries it over 200 tasks."""

import pytest

from annotator.models import Annotation
from bench.desk import MAY_GROW, count_bitmaps, held
from tests.browser.desk_support import CHICKENS
from tests.processes import wait_until

pytestmark = pytest.mark.browser

TASKS = 10
WARMED_UP = 4


def test_task_after_task_leaves_nothing_behind_in_the_tab(stage):
    scenes = [stage.add_task(CHICKENS + number, priority=-number)[1] for number in range(TASKS + 1)]
    desk = stage.desk_for()
    session = desk.cdp
    session.send("Performance.enable")
    count_bitmaps(desk.page)
    desk.page.reload()
    samples = []
    for done, scene in enumerate(scenes[:TASKS], start=1):
        desk.page.get_by_text(f"easy-{scene.seed}.png").wait_for()
        desk.says("proposed")
        desk.click(112, 150)
        desk.says("Mask in hand")
        desk.page.wait_for_timeout(350)  # an N right after the last one would count as pressed twice
        desk.press("Escape", "n")
        wait_until(lambda done=done: Annotation.objects.count() == done)
        if done in (WARMED_UP, TASKS):
            desk.page.get_by_text(f"easy-{scenes[done].seed}.png").wait_for()
            desk.page.wait_for_load_state("networkidle")
            samples.append(held(desk.page, session))
    first, last = samples
    grown = {name: last[name] - first[name] for name in MAY_GROW}
    assert {name: by for name, by in grown.items() if by > MAY_GROW[name]} == {}
    assert last["open bitmaps"] <= 2  # the picture on screen and the next
