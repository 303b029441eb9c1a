"""The learning curve in a real browser: drawn, on a phone, in light and dark, a target named by keyboard alone."""

import pytest

from annotator.models import Task
from tests import factories
from tests.browser.desk_support import chromium
from tests.browser.test_axe import axe
from tests.browser.test_evaluation_pages import looked_at
from tests.browser.test_pages import ink, stage
from tests.web.test_learning_curve import both, judged, round_of
from tests.web.test_random_order import answered

pytestmark = pytest.mark.browser

__all__ = ["axe", "chromium", "stage"]


@pytest.fixture
def grown_barn(barn):
    """Five rounds of which one was kept back, pictures that are there, and an audit that tells random order."""
    images = [factories.make_image(barn.project).sha256 for _ in range(3)]
    rows = [both("a", 1, (0, 0), (1, 1)), both("b", 0, (1, 0), (0, 0)), both("c", 1, (1, 1), (2, 1))]
    rows = [row | {"image": image} for row, image in zip(rows, images, strict=True)]
    judged(barn, barn.project.serving_version, factories.make_snapshot(barn.project), 0.41)
    for number, cgf1 in enumerate((0.52, 0.57, 0.55, 0.61, 0.63), start=1):
        round_of(barn, number, cgf1, promoted=number != 3, rows=rows)
    for lane, changed in (("audit", 6), ("band", 18)):
        for place in range(30):
            answered(barn, lane, "absent", 0.9 if place < changed else 0.1, seconds=2.0 + place % 4)
    Task.objects.filter(lane="band").update(round=2)
    return barn


def test_curve_is_drawn_and_a_target_is_named_by_keyboard_alone(stage, grown_barn, axe):
    page = stage.page_for(grown_barn.admin, "")
    page.wait_for_function("() => window.Chart?.getChart('curve-chart')")
    assert ink(page, "#curve-chart") > 3
    looked_at(page, axe, "home-with-curve")
    page.get_by_role("link", name="What your hours became").click()
    page.wait_for_function("() => window.Chart?.getChart('curve-chart')")
    assert ink(page, "#curve-chart") > 5
    page.get_by_label("CGF1 to reach").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("65")
    page.keyboard.press("Enter")
    page.wait_for_url("**target=65**")
    assert page.get_by_text("more to 65.0 points").is_visible()
    assert page.get_by_role("heading", name="What barn-v5 learnt").is_visible()
    looked_at(page, axe, "learning-curve")


def test_curve_without_a_round_says_what_to_do(stage, barn, axe):
    page = stage.page_for(barn.annotator, "curve/")
    page.get_by_role("link", name="To the desk").focus()
    looked_at(page, axe, "learning-curve-empty")
