"""The job that draws masks in imported boxes: buttons, commands, crashes, cancelling, undo."""

import json
import time
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from annotator.common.errors import ConflictError
from annotator.data.box_drawing import boxes_draw_start, boxes_open
from annotator.data.import_undo import import_undo_start
from annotator.jobs.runner import job_take
from annotator.jobs.services import job_cancel
from annotator.models import Image, Job, Pair, Task
from tests.web.box_support import (
    boxes_drawn,
    folder,
    import_done,
    job_done,
    meanwhile,
    pair_of,
    scenes,
)

__all__ = ["folder", "scenes"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_backend_that_is_away_fails_the_drawing_and_not_the_import(barn, no_backend, folder, signed_in, monkeypatch):
    monkeypatch.setattr("annotator.common.patience.WAITS_SECONDS", (0.01,))
    imported = import_done(barn, folder, boxes="draw")
    job = job_done(Job.objects.get(pk=imported.report["drawing"]), "failed")
    assert job.reason.startswith("The ML backend does not answer")
    assert job.reason.endswith("waits in the queue as a box. Ask again once the model answers.")
    assert boxes_open(project=barn.project).count() == 2
    browser = signed_in(barn.admin)
    for shown in (imported, job):
        page = browser.get(reverse("job", args=["barn", shown.pk])).content.decode()
        assert reverse("import-boxes", args=["barn", imported.pk]) in page
    assert "does not answer" in page
    fragment = reverse("job-fragment", args=[job.pk])
    assert fragment in browser.get(reverse("job", args=["barn", imported.pk])).content.decode()
    assert "does not answer" in browser.get(fragment).content.decode()


def test_button_asks_again_and_goes_once_every_box_has_a_mask(backend, barn, folder, signed_in):
    imported = import_done(barn, folder)
    browser, address = signed_in(barn.admin), reverse("import-boxes", args=["barn", imported.pk])
    answer = browser.post(address)
    job = Job.objects.get(kind="boxes")
    assert answer["Location"] == reverse("job", args=["barn", job.pk])
    shown = reverse("job", args=["barn", imported.pk])
    assert address not in browser.get(shown).content.decode()  # it is under way
    job_done(job)
    Pair.objects.filter(image__original_name="two.png").update(truth="absent")
    page = browser.get(shown).content.decode()
    assert ("They wait for a person as boxes." in page, address in page) == (True, False)
    told = browser.post(address, follow=True).content.decode()
    assert "No box waits here any more" in told


def test_second_asking_at_once_is_refused(barn, folder):
    imported = import_done(barn, folder)
    boxes_draw_start(project=barn.project, user=barn.admin, imported=imported)
    with pytest.raises(ConflictError, match="already"):
        boxes_draw_start(project=barn.project, user=barn.admin, imported=imported)


def test_job_whose_worker_died_goes_on_and_counts_all(backend, barn, folder):
    _, job = boxes_drawn(barn, folder)
    drawn = pair_of("one.png").instances
    # As after a crash behind the first picture: its mask is written, and the report says so.
    two = pair_of("two.png")
    boxes = [{**one, "mask": one.get("sketch", one["mask"]), "coarse": True} for one in two.instances]
    Pair.objects.filter(pk=two.pk).update(instances=boxes)
    Job.objects.filter(pk=job.pk).update(state="queued", report={"drawn": 1})
    assert job_done(job).report["drawn"] == 3
    assert pair_of("one.png").instances == drawn
    assert len([one for one in pair_of("two.png").instances if one["origin"] == "box"]) == 2


def test_import_that_runs_again_starts_no_second_drawing(barn, folder):
    imported = import_done(barn, folder, boxes="draw")
    Job.objects.filter(pk=imported.pk).update(state="queued")
    assert job_done(imported).report["drawing"] == Job.objects.get(kind="boxes").pk


def test_cancelled_drawing_keeps_what_is_drawn_and_can_be_asked_again(backend, barn, folder, settings, monkeypatch):
    monkeypatch.setattr("annotator.data.box_drawing.IMAGES_A_CALL", 1)
    monkeypatch.setattr("annotator.jobs.context.PROGRESS_EVERY_SECONDS", 0.0)
    import_done(barn, folder)
    job = boxes_draw_start(project=barn.project, user=barn.admin)

    def cancel() -> None:
        job_cancel(job=Job.objects.get(pk=job.pk), user=barn.admin)
        time.sleep(3)  # until the lease's thread has seen it

    with meanwhile(backend, settings, cancel):
        drawn = job_done(job, "cancelled").report["drawn"]
    assert drawn in (1, 2)  # of one picture or the other
    assert job_take(job_id=job.pk) is None
    settings.MLBACKEND_URL = backend.base_url
    assert job_done(boxes_draw_start(project=barn.project, user=barn.admin)).report["drawn"] == 3 - drawn


def test_undo_of_the_import_takes_the_masks_with_it(backend, barn, folder):
    imported, _ = boxes_drawn(barn, folder)
    Image.objects.filter(original_name="one.png").update(added_by_import=None)  # it was here before
    job_done(import_undo_start(job=imported, user=barn.admin))
    pair = Pair.objects.get()
    assert (pair.image.original_name, pair.instances, pair.truth) == ("one.png", [], "unseen")
    assert list(Task.objects.values_list("state", flat=True)) == ["withdrawn"]


def test_undo_while_the_model_draws_is_not_undone(backend, barn, folder, settings):
    imported = import_done(barn, folder)
    Image.objects.update(added_by_import=None)

    with meanwhile(backend, settings, lambda: job_done(import_undo_start(job=imported, user=barn.admin))):
        assert job_done(boxes_draw_start(project=barn.project, user=barn.admin)).report["drawn"] == 0
    assert list(Pair.objects.values_list("instances", flat=True)) == [[], []]


def test_command_imports_draws_and_can_draw_later(backend, barn, folder):
    out = StringIO()
    call_command("import_data", "barn", str(folder), "--boxes", "draw", "--here", stdout=out, stderr=StringIO())
    assert "drawn: 3" in out.getvalue()
    Pair.objects.update(instances=[], settled_by_import=None)
    Task.objects.update(state="withdrawn")
    call_command("import_data", "barn", str(folder), "--here", stdout=StringIO(), stderr=StringIO())
    imported = Job.objects.filter(kind="import").latest("pk")
    assert imported.params["boxes"] == "sketch"
    later = StringIO()
    call_command("draw_boxes", "barn", "--import", str(imported.pk), "--here", stdout=later, stderr=StringIO())
    assert "drawn: 3" in later.getvalue()


def test_command_without_a_backend_imports_and_says_how_to_ask_again(barn, no_backend, folder, monkeypatch):
    monkeypatch.setattr("annotator.common.patience.WAITS_SECONDS", ())
    told, report = StringIO(), StringIO()
    options = ("--boxes", "draw", "--here", "--json")
    call_command("import_data", "barn", str(folder), *options, stdout=report, stderr=told)
    imported = Job.objects.get(kind="import")
    assert json.loads(report.getvalue())["boxes"] == 4
    assert f"manage.py draw_boxes barn --import {imported.pk}" in told.getvalue()


def test_page_and_api_take_the_choice(barn, api, signed_in, folder, settings):
    settings.SOURCES = (str(folder),)
    place = {"place": str(folder)}
    answer = api(barn.admin).post("/api/v1/projects/barn/imports", {**place, "boxes": "draw"}, format="json")
    assert Job.objects.get(pk=answer.json()["id"]).params["boxes"] == "draw"
    wrong = api(barn.admin).post("/api/v1/projects/barn/imports", {**place, "boxes": "guess"}, format="json")
    assert (wrong.status_code, wrong.json()["error"]["fields"]["detail"].keys()) == (400, {"boxes"})
    form = {"kind": "auto", "boxes": "draw", **place}
    assert signed_in(barn.admin).post(reverse("images", args=["barn"]), form).status_code == 302
    assert Job.objects.latest("pk").params["boxes"] == "draw"
    assert Job.objects.filter(kind="import").count() == 2
