"""Evaluations, a decision without a run, versions side by side: they fit a phone, and axe finds nothing."""

import pytest

from tests import factories
from tests.browser.desk_support import chromium
from tests.browser.test_axe import STILL, axe, findings
from tests.browser.test_pages import ink, stage
from tests.browser.test_run_pages import PHONE, fits, shot
from tests.web.test_evaluations import GOOD, MEASURES, evaluated, pair_row
from tests.web.test_gates import decided

pytestmark = pytest.mark.browser

__all__ = ["axe", "chromium", "stage"]


@pytest.fixture
def judged_barn(barn):
    """Three versions, two of them judged on one set, with rows of pictures that are there."""
    images = [factories.make_image(barn.project).sha256 for _ in range(4)]
    snapshot = factories.make_snapshot(barn.project)
    found = ([(1, 1), (0, 0), (2, 0), (0, 0)], [(1, 1), (1, 1), (0, 0), (1, 0)])
    for name, answers in zip(("barn-v1", "barn-v2"), found, strict=True):
        rows = [
            pair_row("a", there=int(place < 2), found=count, right=right, scene=str(place)) | {"image": images[place]}
            for place, (count, right) in enumerate(answers)
        ]
        measures = MEASURES | {"by": MEASURES["by"] | {"size": {"small": {"n": {}, "figures": {"ap": GOOD}}}}}
        version = factories.make_version(name, project=barn.project)
        evaluated(barn, version, snapshot, "holdout", rows=rows, measures=measures)
    factories.make_version("barn-v3", project=barn.project)
    return barn


def looked_at(page, axe: str, name: str) -> None:
    page.wait_for_function(STILL)
    for width in (PHONE, {"width": 1280, "height": 900}):
        page.set_viewport_size(width)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            shot(page, f"{name}-{scheme}-{width['width']}")
        assert fits(page), width
    assert findings(page, axe, name, dark_too=True) == []


def test_evaluation_says_whether_it_is_ready_and_changes_with_what_it_is_for(stage, judged_barn, axe):
    row = judged_barn.project.evaluations.first()
    page = stage.page_for(judged_barn.admin, f"evaluations/{row.pk}/")
    assert page.get_by_text("Deploy: all that a pilot asks for is reached for certain.").is_visible()
    page.get_by_label("Meant for").select_option("production")
    page.get_by_role("button", name="Show").click()
    assert page.get_by_text("for production").first.is_visible()
    looked_at(page, axe, "evaluation")


def test_list_of_evaluations_has_its_form(stage, judged_barn, axe):
    page = stage.page_for(judged_barn.admin, "evaluations/")
    assert page.get_by_role("button", name="Evaluate", exact=True).is_visible()
    looked_at(page, axe, "evaluations")


def test_versions_marked_in_the_list_stand_side_by_side_and_a_picture_is_one_click_away(stage, judged_barn, axe):
    page = stage.page_for(judged_barn.admin, "models/")
    for number in (1, 2, 3):
        page.get_by_label(f"Mark barn-v{number}").check()
    page.get_by_role("button", name="Put side by side").click()
    assert page.get_by_role("button", name="Evaluate barn-v3").is_visible()
    assert page.get_by_role("heading", name="barn-v2 against barn-v1").is_visible()
    assert page.get_by_text("2 pairs mended, 1 broken").is_visible()
    looked_at(page, axe, "versions-side-by-side")
    page.locator("a:has(img)").first.click()
    assert "/images/" in page.url


def test_decision_without_a_run_is_drawn_with_its_policy(stage, judged_barn, axe):
    gate = decided(judged_barn, factories.make_version("sam3"))
    page = stage.page_for(judged_barn.admin, f"gates/{gate.pk}/")
    page.wait_for_function(STILL)
    assert ink(page, "#gate-chart") > 3
    page.get_by_text("The policy of this decision").click()
    assert page.get_by_role("row", name="alarm_margin 0.01 0.02").is_visible()
    looked_at(page, axe, "gate-without-a-run")
