"""The pages in a real browser: scripts run under the content policy, polls end, nothing overflows, choices stick."""

import pytest
from django.db import connection
from django.urls import reverse

from annotator.models import Job, Task, TrainingRun
from tests import factories
from tests.browser.desk_support import Stage, chromium
from tests.processes import wait_until
from tests.web.test_pages_training import judged_run, sample

pytestmark = pytest.mark.browser

__all__ = ["chromium"]

ADDRESSES = (
    *("", "images/", "queue/", "review/", "snapshots/", "training/", "training/1/", "models/", "jobs/"),
    *("jobs/1/", "people/", "settings/", "audit/"),
)

DATA_ADDRESSES = ("images/changes/", "images/trash/", "feeds/", "splits/", "snapshots/1/", "snapshots/1/to/1/")


@pytest.fixture
def stage(live_server, barn, settings, chromium):
    settings.MLBACKEND_URL = "http://127.0.0.1:9"
    made = Stage(barn, live_server.url, chromium, [])
    yield made
    for context in chromium.contexts:
        context.close()
    assert made.troubles == []
    connection.close()


@pytest.fixture
def busy_barn(barn):
    """One row for everything that pages show."""
    task = factories.make_task(barn.project, holder=barn.annotator)
    factories.make_annotation(factories.make_task(barn.project), barn.annotator)
    factories.make_task(barn.project, task.pair.image.pairs.create(project=barn.project, concept=_duck(barn)))
    found = factories.box_rle()
    row = sample([found], [(0.9, found)]) | {"image": task.pair.image.sha256}
    series = {
        "loss": [{"step": step, "total": 5 / (step + 1)} for step in range(20)],
        "validation": [{"step": 10, "cgf1": 0.4, "pmf1": 0.5, "il_mcc": 0.8}],
    }
    judged_run(barn, samples={"before": [row], "after": [row]}, series=series)
    return barn


def _duck(barn):
    return factories.make_concept(barn.project, "duck")


def ink(page, selector: str) -> int:
    """How many different colours a canvas shows: an empty one shows one."""
    return page.eval_on_selector(
        selector,
        """canvas => new Set(new Uint32Array(canvas.getContext('2d')
            .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size""",
    )


def test_every_page_runs_clean_and_fits_tablet_laptop_and_desktop(stage, busy_barn):
    page = stage.page_for(busy_barn.admin, "")
    job = TrainingRun.objects.get().job_id
    for address in ADDRESSES:
        page.goto(f"{stage.url}/p/barn/{address.replace('jobs/1/', f'jobs/{job}/')}")
        assert page.locator("h1").count() == 1
        for width in (768, 1280, 2560):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (address, width)


def test_every_page_fits_a_phone_and_long_names_give_way(stage, busy_barn):
    busy_barn.project.name = "All barns between the river and the northern forest, 2024 to 2026"
    busy_barn.project.save()
    page = stage.page_for(busy_barn.admin, "")
    page.set_viewport_size({"width": 390, "height": 844})
    for address in (*ADDRESSES, *DATA_ADDRESSES):
        page.goto(f"{stage.url}/p/barn/{address.replace('jobs/1/', f'jobs/{TrainingRun.objects.get().job_id}/')}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
        assert page.locator(".brand svg").bounding_box()["width"] > 20
    assert page.locator("#backend-status").inner_text() != ""


def test_theme_sticks_over_pages(stage):
    page = stage.page_for(stage.barn.admin, "")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    before = page.evaluate(ground)
    page.get_by_role("button", name="Switch between light and dark").click()
    after = page.evaluate(ground)
    assert after != before
    page.goto(f"{stage.url}/p/barn/jobs/")
    assert page.evaluate(ground) == after


def test_histogram_is_drawn_and_has_its_table(stage, busy_barn):
    page = stage.page_for(busy_barn.admin, "queue/")
    page.locator("#histogram").wait_for()
    wait_until(lambda: ink(page, "#histogram") > 3)
    page.get_by_text("The numbers").click()
    assert page.locator("table tr", has_text="0.50 – 0.55").locator("td").nth(1).inner_text() == "3"


def test_band_can_be_tried_before_it_is_kept(stage):
    for presence in (0.35, 0.45, 0.55, 0.9):
        factories.make_prediction(factories.make_pair(stage.barn.project), presence=presence)
    page = stage.page_for(stage.barn.admin, "queue/")
    page.get_by_text("2 in the band 0.40–0.60").wait_for()
    page.get_by_label("Band from").fill("0.3")
    page.get_by_text("3 would be in 0.30–0.60").wait_for()
    stage.barn.project.refresh_from_db()
    assert stage.barn.project.presence_low == 0.4
    page.get_by_role("button", name="Keep this band").click()
    page.get_by_text("3 in the band 0.30–0.60").wait_for()
    stage.barn.project.refresh_from_db()
    assert stage.barn.project.presence_low == 0.3


def test_run_page_draws_gate_plots_and_pictures(stage, busy_barn):
    page = stage.page_for(busy_barn.admin, "training/1/")
    for canvas in ("#loss", "#validation", "#gate-chart", "#gate-interval"):
        wait_until(lambda canvas=canvas: ink(page, canvas) > 3)
    for side in ("before", "after"):
        wait_until(lambda side=side: ink(page, f"canvas[data-side={side}]") > 50)


def test_running_job_is_followed_to_its_end(stage):
    job = factories.make_job(stage.barn.project, state=Job.State.RUNNING, progress=0.1, message="Packing")
    page = stage.page_for(stage.barn.annotator, f"jobs/{job.pk}/")
    page.get_by_text("10 %").wait_for()
    Job.objects.filter(pk=job.pk).update(progress=0.6)
    page.get_by_text("60 %").wait_for()
    Job.objects.filter(pk=job.pk).update(state=Job.State.FAILED, reason="The disk is full.")
    page.get_by_text("The disk is full.").wait_for()
    page.locator("[hx-trigger^='every 1500ms']").wait_for(state="detached")


def test_loss_grows_on_the_page_while_the_run_trains(stage):
    job = factories.make_job(stage.barn.project, Job.Kind.RETRAIN, state=Job.State.RUNNING)
    run = factories.make_training_run(stage.barn.project, job=job)
    page = stage.page_for(stage.barn.annotator, f"training/{run.number}/")
    page.locator("summary", has_text="The numbers").first.click()
    TrainingRun.objects.filter(pk=run.pk).update(series={"loss": [{"step": 17, "total": 2.5}], "validation": []})
    page.locator("#loss-rows tr", has_text="2.500").wait_for()


def test_question_before_a_big_action_can_be_answered_no(stage):
    job = factories.make_job(stage.barn.project)
    page = stage.page_for(stage.barn.admin, f"jobs/{job.pk}/")
    page.get_by_role("button", name="Cancel the job").click()
    page.get_by_role("button", name="No, go back").click()
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED
    page.get_by_role("button", name="Cancel the job").click()
    page.locator("#confirm-yes").click()
    page.get_by_text("Cancelled before it began").wait_for()
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED


def test_wrong_upload_shows_its_sentence_and_a_right_one_becomes_a_job(stage):
    page = stage.page_for(stage.barn.admin, "images/")
    hen = {"name": "hen.png", "mimeType": "image/png", "buffer": factories.image_bytes()}
    zipped = {"name": "hens.zip", "mimeType": "application/zip", "buffer": b"PK"}
    page.locator("input[type=file]").set_input_files([hen, zipped])
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_text("Send one zip by itself").wait_for()
    page.get_by_label("Pictures alone").check()
    page.locator("input[type=file]").set_input_files(hen)
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_role("heading", name="Import #").wait_for()
    job = Job.objects.get()
    assert (job.kind, job.params["dry_run"]) == (Job.Kind.IMPORT, False)


def test_look_first_sends_the_look_and_no_import(stage):
    page = stage.page_for(stage.barn.admin, "images/")
    hen = {"name": "hen.png", "mimeType": "image/png", "buffer": factories.image_bytes()}
    page.locator("input[type=file]").set_input_files(hen)
    page.get_by_role("button", name="Look first").click()
    page.get_by_role("heading", name="Import #").wait_for()
    assert Job.objects.get().params["dry_run"] is True


def test_filter_applies_when_chosen(stage, busy_barn):
    page = stage.page_for(busy_barn.admin, "queue/")
    page.get_by_label("State").select_option("claimed")
    page.wait_for_url("**state=claimed**")
    assert page.locator("tbody tr", has_text="annotator").count() == Task.objects.filter(state="claimed").count()


def test_skip_link_leads_keyboards_past_the_bar(stage):
    page = stage.page_for(stage.barn.annotator, "jobs/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_help_page_lists_the_desk_s_own_keys(stage):
    page = stage.page_for(stage.barn.annotator, "")
    page.goto(stage.url + reverse("keys"))
    row = page.locator("#desk-keys tr", has_text="Not in this image")
    assert row.locator("kbd").all_inner_texts() == ["N"]


def test_times_are_shown_by_the_reader_s_clock(stage):
    job = factories.make_job(stage.barn.project)
    page = stage.page_for(stage.barn.annotator, "jobs/")
    shown = page.locator("time").first
    expected = page.evaluate(
        "iso => new Intl.DateTimeFormat('en-GB', {dateStyle: 'medium', timeStyle: 'short'}).format(new Date(iso))",
        job.created_at.isoformat(),
    )
    assert shown.inner_text() == expected


def test_image_page_draws_masks_switches_them_and_goes_on_by_arrow_key(stage):
    older = factories.make_image(stage.barn.project)
    pair = factories.make_pair(stage.barn.project, truth="present")
    factories.make_prediction(pair)
    page = stage.page_for(stage.barn.annotator, f"images/{pair.image.sha256}/?split=train")

    def colours() -> int:
        return ink(page, "#picture")

    wait_until(lambda: colours() > 50)
    with_truth = page.locator("#picture").screenshot()
    page.get_by_label("What people settled").uncheck()
    bare = page.locator("#picture").screenshot()
    assert bare != with_truth
    page.get_by_label("What demo sees").check()
    assert page.locator("#picture").screenshot() not in (bare, with_truth)
    page.get_by_role("checkbox", name="chicken").uncheck()
    assert page.locator("#picture").screenshot() == bare
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/images/{older.sha256}/?split=train")


def test_merge_is_previewed_asked_for_and_done_by_keyboard_alone(stage):
    hen = factories.make_concept(stage.barn.project, "hen")
    factories.make_pair(stage.barn.project, hen, truth="absent")
    page = stage.page_for(stage.barn.admin, f"settings/concepts/{hen.pk}/")
    page.get_by_label("Merge hen into").focus()
    page.keyboard.type("chicken")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Merge into chicken").focus()
    page.keyboard.press("Enter")
    page.get_by_text("This can't be undone").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "confirm-yes"
    page.keyboard.press("Enter")
    page.get_by_text("«hen» is «chicken» now").wait_for()
    hen.refresh_from_db()
    assert hen.merged_into == stage.barn.chicken
