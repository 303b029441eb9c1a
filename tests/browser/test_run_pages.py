"""A run's plots and runs side by side in a real browser: drawn, changed by keyboard, on a phone, in light and dark."""

import json
import os
import shutil
from pathlib import Path

import pytest
from django.urls import reverse
from PIL import Image

from annotator.jobs.services import JobContext
from annotator.registry.run_log import RunLog
from tests import factories
from tests.browser.desk_support import chromium
from tests.browser.test_axe import STILL, axe, findings
from tests.browser.test_pages import ink, stage
from tests.train.test_gate import own_scenes, world
from tests.web.test_pages_training import REPORT, judged_run
from toolbox.gate_policy import Policy
from training.gate import decide

pytestmark = pytest.mark.browser

__all__ = ["axe", "chromium", "stage"]

PHONE = {"width": 390, "height": 844}
# Where somebody wants to look at the pages: a folder for pictures of them.
SHOTS = os.environ.get("ROOST_TEST_SHOTS", "")


def run_series(best: float, rate: float) -> dict:
    loss = [
        {"step": step, "total": 40 / step, "mask": 20 / step, "presence": 5 / step, "learning_rate": rate * step / 60}
        | ({"images_per_s": 11.5 + step % 3} if step > 5 else {})
        for step in range(5, 65, 5)
    ]
    validation = [
        {"step": step, "cgf1": best * step / 60, "pmf1": 0.7, "il_mcc": 0.5, "il_fpr": 0.1}
        for step in range(10, 65, 10)
    ]
    gpu = [
        {"at": f"2026-01-01T00:{second // 60:02}:{second % 60:02}+00:00", "memory_used_mib": 9000 + second}
        | {"memory_total_mib": 24564, "utilisation_percent": 60 + second % 40, "temperature_c": 55 + second / 20}
        for second in range(0, 300, 10)
    ]
    return {"loss": loss, "validation": validation, "gpu": gpu}


def view_sheet(path: Path) -> dict:
    """The event of a run with views and its sheet; ROOST_TEST_SHEET names a real one, with event.json beside it."""
    real = os.environ.get("ROOST_TEST_SHEET", "")
    if real:
        shutil.copyfile(real, path)
        return json.loads(Path(real).with_name("event.json").read_text())
    Image.new("RGBA", (1350, 500), (40, 200, 110, 255)).save(path)
    views = [{"words": "as it is", "taken": True}, {"words": "1.90 times nearer, dusk", "taken": False}]
    rows = [{"image": "ab" * 32, "text_input": "chicken", "views": views}] * 2
    return {"size_px": [1350, 500], "mirror": True, "drawn": 4, "images": 2, "looks": 8, "passed_over": 2, "rows": rows}


@pytest.fixture
def two_runs(barn, settings, tmp_path):
    settings.RUNS_DIR = tmp_path
    costs = {"trainer_seconds": 5400, "hour_price": 1.3, "currency": "EUR"}
    judged_run(barn, series=run_series(0.5, 2e-4), config={"steps": 60, "learning_rate": 2e-4}, **costs)
    folder = tmp_path / "barn-2" / "model"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"0" * 5_000_000)
    (folder.parent / "config.yaml").write_text("steps: 60\nlearning_rate: 0.0004\n")
    (folder.parent / "log.txt").write_text("step 60 of 60\nCGF1 61.0\n")
    series = run_series(0.61, 4e-4) | {"views": view_sheet(folder.parent / "views.png")}
    factories.make_training_run(barn.project, series=series, config={"learning_rate": 4e-4}, **costs)
    return barn


def shot(page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_runs_are_marked_and_put_side_by_side_by_keyboard_alone(stage, two_runs):
    page = stage.page_for(two_runs.annotator, "training/")
    for number in (1, 2):
        page.get_by_label(f"Mark run {number}").focus()
        page.keyboard.press("Space")
    shot(page, "training")
    page.get_by_role("button", name="Put side by side").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#compared-rows tr", state="attached")
    assert ink(page, "#compared") > 3
    rows = page.locator("#compared-rows tr")
    assert rows.last.locator("td").all_text_contents() == ["60", "50.0", "61.0"]
    page.get_by_label("Figure", exact=True).focus()
    page.keyboard.type("total")
    assert rows.first.locator("td").all_text_contents() == ["5", "8.000", "8.000"]
    page.get_by_label("Figure", exact=True).select_option("loss many")
    assert page.get_by_text("None of these runs has told this figure.").is_visible()
    assert (
        page.locator("section", has=page.get_by_role("heading", name="Settings that differ"))
        .get_by_text("learning_rate")
        .is_visible()
    )


def test_pages_of_runs_are_accessible_and_fit_a_phone(stage, two_runs, axe):
    compare = f"{reverse('run-compare', args=['barn'])}?run=1&run=2"
    page = stage.page_for(two_runs.admin, "")
    for name, address in (("run", reverse("run", args=["barn", 2])), ("compare", compare)):
        page.goto(stage.url + address)
        page.wait_for_function(STILL)
        if name == "run":
            assert page.get_by_text("CGF1 61.0").is_visible()
            assert min(ink(page, f"#{plot}") for plot in ("rate", "speed", "gpu")) > 3
            page.locator(".view-sheet img").scroll_into_view_if_needed()
            page.wait_for_function("document.querySelector('.view-sheet img').naturalWidth === 1350")
        for width in (PHONE, {"width": 1280, "height": 900}):
            page.set_viewport_size(width)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                shot(page, f"{name}-{scheme}-{width['width']}")
            assert fits(page), (name, width)
        assert findings(page, axe, name, dark_too=True) == []


def with_validations(run, image: str) -> None:
    """Three validations of two pairs: nothing, then a false one, then all; as a trainer tells them."""
    truth, elsewhere = factories.box_rle(2, 3, 9, 10), factories.box_rle(10, 1, 14, 5)
    with RunLog(run, JobContext(run.job), verb="train") as log:
        for step, found in ((0, []), (30, [elsewhere]), (60, [truth])):
            for pair, word in ((1, "chicken"), (2, "straw")):
                instances = [{"score": 0.9, "box": [0, 0, 1, 1], "segmentation": rle} for rle in found]
                row = {"pair_id": pair, "image": image, "text_input": word, "width": 16, "height": 16}
                log.take(
                    {"event": "sample", "at": "2026-01-01T00:00:00+00:00", "step": step, **row}
                    | {"presence": 0.1 + step / 100, "truth": [truth], "instances": instances}
                )


def test_pairs_are_gone_through_validation_by_validation_with_the_keyboard(stage, two_runs, axe):
    run = two_runs.project.training_runs.get(number=2)
    with_validations(run, factories.make_image(two_runs.project).sha256)
    page = stage.page_for(two_runs.annotator, "")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": 1280, "height": 500})
    page.goto(stage.url + reverse("run", args=["barn", 2]))
    page.wait_for_function(STILL)
    assert not any(url.endswith("/samples/") for url in asked)  # not before somebody comes to look
    page.locator("#validations").scroll_into_view_if_needed()
    words, first = page.locator("#validations-told"), page.locator("#validations figure").first
    first.get_by_text("1 found").wait_for()
    assert words.text_content() == "Step 60, CGF1 61.0"
    slider = page.get_by_label("Validation", exact=True)
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert "1 missed · 1 false" in first.text_content()
    assert slider.get_attribute("aria-valuetext") == "Step 30, CGF1 30.5"
    page.keyboard.press("Home")
    assert first.locator("p").text_content() == "presence 0.10 · 1 missed"
    page.keyboard.press("End")
    page.wait_for_function("document.querySelector('#validations canvas').width > 16")
    for width in (PHONE, {"width": 1280, "height": 900}):
        page.set_viewport_size(width)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            shot(page, f"validations-{scheme}-{width['width']}")
        assert fits(page), width
    assert findings(page, axe, "validations", dark_too=True) == []


def test_demands_of_the_gate_are_told_one_by_one(stage, barn, axe):
    """An undecided and a rejected answer of the gate itself, with an earlier one below."""
    undecided = decide(world(100, 2, 200, 90), world(160, 3, 200, 90), own_scenes(290), Policy(bootstrap=400), looks=2)
    rejected = decide(world(100, 4, 200, 200), world(160, 40, 200, 200), own_scenes(400), Policy(bootstrap=400))
    run = judged_run(barn, decision="undecided")
    for answer in (rejected, undecided):
        report = REPORT | answer | {"policy": {"min_gain_points": 1.0}}
        factories.make_gate(run, answer["decision"], reasons=answer["reasons"], report=report)
    page = stage.page_for(barn.admin, f"training/{run.number}/")
    page.wait_for_function(STILL)
    demands = page.locator(".gate-rules li")
    assert [tag.strip() for tag in demands.locator(".tag").all_text_contents()] == ["met", "met", "open", "met", "met"]
    assert "more negatives would settle it" in demands.nth(2).inner_text()
    assert page.get_by_role("button", name="Ask the gate again").is_visible()
    page.get_by_text("Asked before").click()
    assert page.get_by_text("Reject, against").is_visible()
    for width in (PHONE, {"width": 1280, "height": 900}):
        page.set_viewport_size(width)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            shot(page, f"gate-{scheme}-{width['width']}")
        assert fits(page), width
    assert findings(page, axe, "gate", dark_too=True) == []
