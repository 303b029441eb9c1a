"""Two concepts of one image in one pass: real keys and clicks; what counts are the rows of both pairs read back."""

import pytest

from annotator.models import Annotation, Draft, Task
from tests import factories
from tests.browser.desk_support import Desk, Stage, decode, deepest_pixel, iou
from tests.browser.test_axe import axe, findings
from tests.processes import wait_until

pytestmark = pytest.mark.browser

__all__ = ["axe"]

CHICKENS = 2_000_003  # seeds of drawn easy scenes, found by looking
ALSO_CHICKENS = 2_000_007


@pytest.fixture
def pass_stage(stage: Stage) -> Stage:
    """The barn asks for chicken and duck, both in one pass."""
    factories.make_concept(stage.barn.project, "duck", colour="#e69f00")
    stage.barn.project.one_pass = True
    stage.barn.project.save()
    return stage


def answers() -> dict[str, Annotation]:
    """The newest answer a concept."""
    rows = Annotation.objects.select_related("pair__concept").order_by("pk")
    return {row.pair.concept.name: row for row in rows}


def concept(desk: Desk, name: str):
    return desk.role("concepts").get_by_role("button", name=name)


def test_a_mask_for_one_concept_and_an_explicit_negative_for_the_other(pass_stage):
    task, scene = pass_stage.add_task(CHICKENS, priority=2)
    pass_stage.add_task(ALSO_CHICKENS, priority=1)
    chicken = max((mask for name, mask in scene.instances if name == "chicken"), key=lambda mask: mask.sum())
    desk = pass_stage.desk_for()
    desk.says("chicken and 1 more to decide")
    desk.press("2")
    desk.says("duck in hand")
    concept(desk, "chicken").click()
    desk.click(*deepest_pixel(chicken))
    desk.says("Mask in hand")
    desk.press("Enter", "Space")
    desk.says("Not decided yet: duck")
    assert concept(desk, "duck").get_attribute("aria-pressed") == "true"
    desk.press("n")
    desk.says("All is decided")
    assert (concept(desk, "present 1").count(), concept(desk, "absent").count()) == (1, 1)
    desk.press("Space", "Space")
    desk.page.get_by_text(f"easy-{ALSO_CHICKENS}.png").wait_for()
    wait_until(lambda: Annotation.objects.count() == 2)
    found = answers()
    [instance] = found["chicken"].instances
    assert iou(decode(instance["mask"]), chicken) > 0.6
    assert (found["chicken"].verdict, found["duck"].verdict, found["duck"].instances) == ("present", "absent", [])
    assert {row.pair.image for row in found.values()} == {task.pair.image}
    assert set(Task.objects.filter(pair__image=task.pair.image).values_list("state", flat=True)) == {"submitted"}
    assert sum(row.active_seconds for row in found.values()) > 0


def test_half_a_pass_survives_a_reload_and_undo_reopens_all_of_it(pass_stage):
    pass_stage.add_task(CHICKENS)
    desk = pass_stage.desk_for()
    desk.says("more to decide")
    desk.press("n")
    desk.says("Next: duck")
    wait_until(lambda: Draft.objects.filter(payload__absent=True).exists())
    desk.page.reload()
    desk.says("duck and 1 more to decide")
    concept(desk, "absent").wait_for()
    desk.press("n", "Space")
    wait_until(lambda: Annotation.objects.count() == 2)
    desk.page.get_by_text("The queue is empty").wait_for()
    desk.press("Control+z")
    desk.says("Reopened")
    assert concept(desk, "absent").count() == 2
    assert Task.objects.filter(state="claimed", holder=pass_stage.barn.annotator).count() == 2
    desk.press("1", "b")
    desk.drag((40, 120), (80, 120))
    desk.press("Enter", "Space")
    wait_until(lambda: Annotation.objects.count() == 4)
    assert {name: row.verdict for name, row in answers().items()} == {"chicken": "present", "duck": "absent"}


def test_copied_and_merged_masks_are_stored_under_their_concepts(pass_stage):
    pass_stage.add_task(CHICKENS)
    desk = pass_stage.desk_for()
    desk.says("more to decide")
    desk.press("b")
    for y in (60, 160):
        desk.drag((40, y), (80, y))
        desk.press("Enter")
    desk.says("Instance 2 accepted")
    desk.page.get_by_role("button", name="1 · drawn").first.click()
    desk.press("g")
    desk.says("are one now")
    desk.page.get_by_role("button", name="Copy to …").click()
    desk.says("Copied to duck")
    desk.press("2", "Space", "Space")
    wait_until(lambda: Annotation.objects.count() == 2)
    found = answers()
    [chicken], [duck] = found["chicken"].instances, found["duck"].instances
    assert chicken["mask"] == duck["mask"]
    mask = decode(chicken["mask"])
    assert mask[60, 60]
    assert mask[160, 60]
    assert not mask[110, 60]


def test_a_reviewer_who_mends_merges_two_instances(stage):
    task, _ = stage.add_task(CHICKENS)
    size = task.pair.image.width, task.pair.image.height
    marked = [factories.make_instance(factories.box_rle(*box, *size)) for box in ((20, 30, 60, 60), (90, 30, 130, 60))]
    annotation = factories.make_annotation(task, stage.barn.annotator, instances=marked)
    reviewer = Desk(stage.page_for(stage.barn.reviewer, f"review/{annotation.pk}/"))
    reviewer.says("2 marked")
    reviewer.press("f")
    reviewer.role("instances").get_by_role("button").first.click()
    reviewer.press("Shift+g")
    reviewer.says("are one now")
    reviewer.press("f")
    reviewer.page.get_by_text("Nothing waits for review").wait_for()
    [instance] = annotation.review.fixed.instances
    assert decode(instance["mask"]).sum() == 2 * 40 * 30


def test_axe_finds_nothing_on_the_desk_with_several_concepts(pass_stage, axe):
    pass_stage.add_task(CHICKENS)
    desk = pass_stage.desk_for()
    desk.says("more to decide")
    assert findings(desk.page, axe, "one pass", dark_too=True) == []


def test_one_concept_alone_shows_no_strip(stage):
    stage.barn.project.one_pass = True
    stage.barn.project.save()
    stage.add_task(CHICKENS)
    desk = stage.desk_for()
    desk.says("chicken, ")
    assert not desk.role("concepts").is_visible()
    desk.press("n")
    wait_until(lambda: Annotation.objects.count() == 1)
