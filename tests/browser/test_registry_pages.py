"""The models page and a version's page in a real browser: fitting a phone, readable in the dark, and of use."""

import json

import pytest

from annotator.models import ModelVersion
from tests.browser.desk_support import chromium
from tests.browser.test_axe import STILL, axe, findings
from tests.browser.test_pages import stage
from tests.browser.test_report_page import seen
from tests.browser.test_run_pages import PHONE, fits, shot
from tests.web.test_registry import kept_version, models
from tests.web.test_run_calibration import TOLD
from tests.web.test_walk import answered, trained

pytestmark = pytest.mark.browser

__all__ = ["axe", "chromium", "models", "stage"]


@pytest.fixture
def shelf(barn, models, settings) -> ModelVersion:
    """Four versions, one of them taught by answers, judged, and with all that is known of where it comes from."""
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    barn.project.review_policy = "all"
    barn.project.save()
    answered(barn)
    answered(barn, decision="fix")
    version = trained(barn, 9)
    ModelVersion.objects.filter(pk=version.pk).update(
        base_hash="ab" * 32,
        code_revision="c0ffee" * 6 + "abcd",
        packages={"python": "3.11.7", "torch": "2.13.0", "transformers": "5.0.0"},
        metrics={
            "val": {"val": {"cgf1": 0.5, "pmf1": 0.6, "il_mcc": 0.8}},
            "config": {"steps": 400},
            "recipe": "demo",
            "presence_calibration": TOLD,
        },
        parent=barn.project.serving_version,
    )
    for number in range(1, 6):
        kept_version(barn, settings, number, number / 10)
    return version


def test_models_and_version_pages_fit_and_read_in_light_and_dark(stage, shelf, barn, axe):
    for name in ("models/", f"models/{shelf.name}/"):
        page = stage.page_for(barn.admin, name)
        page.wait_for_function(STILL)
        for canvas in page.locator("canvas[data-chart]").all():
            seen(page, canvas)
        for size in ({"width": 1280, "height": 900}, PHONE):
            page.set_viewport_size(size)
            shot(page, f"{name.strip('/').replace('/', '-')}-{size['width']}")
            assert fits(page), (name, size)
        assert findings(page, axe, name, dark_too=True) == []


def test_admin_finds_a_version_writes_a_note_folds_it_away_and_removes_weights(stage, shelf, barn, settings):
    page = stage.page_for(barn.admin, "models/")
    page.get_by_role("searchbox").fill("v9")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name=shelf.name, exact=True).click()
    page.get_by_role("textbox", name="Notes").fill("for the night camera")
    page.get_by_role("button", name="Keep the notes").click()
    assert page.get_by_text("are kept").is_visible()
    page.get_by_role("button", name="Archive").click()
    assert page.get_by_role("button", name="Bring back").is_visible()
    stored = ModelVersion.objects.get(pk=shelf.pk)
    assert (stored.notes, stored.archived_at is None) == ("for the night camera", False)
    page = stage.page_for(barn.admin, "models/")
    page.get_by_role("button", name="of weights").click()
    page.get_by_role("button", name="Remove the weights").click()
    page.wait_for_url("**/models/")
    assert page.get_by_text("Weights removed:").is_visible()
    gone = ModelVersion.objects.filter(weights_removed_at__isnull=False).values_list("name", flat=True)
    assert set(gone) == {"barn-v1", "barn-v2"}
    assert not (settings.MODELS_DIR / "barn-v1" / "model.safetensors").exists()
    assert json.loads((settings.MODELS_DIR / "barn-v1" / "manifest.json").read_text())["weights_hash"]
