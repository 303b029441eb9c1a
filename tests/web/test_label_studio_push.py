"""Pushing what is settled: what is refused, and what becomes of a push when Label Studio fails half-way.

What arrives is looked at in a real one: tests/backend/test_label_studio_push_real.py.
"""

import threading
import time

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from annotator.common.errors import ConflictError, RoostError
from annotator.jobs.runner import job_run
from annotator.jobs.services import job_cancel
from annotator.label_studio import push as pushing
from annotator.label_studio.push import push_start
from annotator.models import AuditEvent, Job
from tests import factories
from tests.processes import PATIENCE_S, wait_until
from tests.web.label_studio_stand_in import TOKEN

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = reverse("label-studio-push", args=["barn"])
API = reverse("api-label-studio-pushes", args=["barn"])


@pytest.fixture
def patient(monkeypatch):
    """Waits as long as it would, a hundred times as fast."""
    monkeypatch.setattr(pushing, "FIRST_WAIT_S", 0.02)


@pytest.fixture
def flock(barn, studio, patient):
    """Three settled pictures of chickens; the first has no duck, the others nobody looked at for ducks."""
    duck = factories.make_concept(barn.project, "duck")
    for place in range(3):
        image = factories.make_image(barn.project, original_name=f"{place}.png")
        factories.make_pair(barn.project, barn.chicken, image, truth="present")
        factories.make_pair(barn.project, duck, image, truth="absent" if not place else "unseen")
    return barn


def run(job: Job) -> Job:
    job_run(job_id=job.pk)
    job.refresh_from_db()
    return job


def pushed(flock, **options) -> Job:
    job = run(push_start(project=flock.project, user=flock.admin, **options))
    assert job.state == Job.State.SUCCEEDED, job.reason
    return job


def tasks_of(studio, number: int) -> list[dict]:
    return [row for row in studio.tasks.values() if row["project"] == number]


def uploads_of(studio, number: int) -> int:
    return sum(project == number for project, _ in studio.uploads.values())


def counts(job: Job) -> tuple[int, int, int]:
    return job.report["added"], job.report["changed"], job.report["unchanged"]


# Failures half-way


@pytest.mark.parametrize("status", [429, 500, 502, 503])
@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer lost"])
def test_tasks_are_made_once_whatever_becomes_of_the_answer(flock, studio, status, after):
    studio.fault("POST", "/import", status, after=after)
    studio.fault("POST", "/import", status, after=after)
    job = pushed(flock, title="Flaky")
    assert counts(job) == (3, 0, 0)
    rows = tasks_of(studio, job.report["project"])
    assert sorted(row["data"]["name"] for row in rows) == ["0.png", "1.png", "2.png"]
    assert [len(row["annotations"]) for row in rows] == [1, 1, 1]


def test_wait_is_as_long_as_label_studio_asks_for(flock, studio):
    studio.fault("POST", "/import", 429, Retry_After="1")
    begun = time.monotonic()
    pushed(flock, title="Busy")
    assert time.monotonic() - begun >= 1


def test_push_that_gives_up_says_so_and_the_next_one_goes_on(flock, studio, monkeypatch):
    monkeypatch.setattr(pushing, "BATCH_IMAGES", 1)
    monkeypatch.setattr(pushing, "ATTEMPTS", 2)
    studio.fault("POST", "/import", 503, skip=2, times=2)  # the first picture and its task go through
    job = run(push_start(project=flock.project, user=flock.admin, title="Long"))
    number = job.report["project"]
    assert job.state == Job.State.FAILED
    assert job.reason == "Label Studio answered 503. Asked 2 times. What was sent stays there; push again to go on."
    assert len(tasks_of(studio, number)) == 1
    assert counts(pushed(flock, number=number)) == (2, 0, 1)
    assert (len(tasks_of(studio, number)), uploads_of(studio, number)) == (3, 3)


def test_pictures_that_a_push_uploaded_before_it_was_cut_off_are_not_uploaded_again(flock, studio, monkeypatch):
    monkeypatch.setattr(pushing, "ATTEMPTS", 1)
    studio.fault("POST", "/import", 503, skip=1)  # the pictures go through, their tasks do not
    job = run(push_start(project=flock.project, user=flock.admin, title="Cut"))
    number = flock.project.label_studio_pushes.get().number
    assert (job.state, uploads_of(studio, number), tasks_of(studio, number)) == ("failed", 3, [])
    assert counts(pushed(flock, number=number)) == (3, 0, 0)
    assert uploads_of(studio, number) == 3


def test_push_is_cancelled_while_it_waits_and_gone_on_with(flock, studio, monkeypatch):
    monkeypatch.setattr(pushing, "BATCH_IMAGES", 1)
    studio.fault("POST", "/import", 503, skip=2, Retry_After="100")
    job = push_start(project=flock.project, user=flock.admin, title="Cancelled")
    number = flock.project.label_studio_pushes.get().number
    worker = threading.Thread(target=run_in_thread, args=[job.pk])
    worker.start()
    wait_until(
        lambda: Job.objects.get(pk=job.pk).message.startswith("Label Studio answered 503. It will be asked again.")
    )
    job_cancel(job=Job.objects.get(pk=job.pk), user=flock.admin)
    worker.join(PATIENCE_S)
    job.refresh_from_db()
    assert (job.state, counts(job), len(tasks_of(studio, number))) == ("cancelled", (1, 0, 0), 1)
    assert counts(pushed(flock, number=number)) == (2, 0, 1)


def run_in_thread(job: int) -> None:
    try:
        job_run(job_id=job)
    finally:
        connection.close()


def test_token_that_ends_meanwhile_is_a_sentence_and_never_shown(flock, studio, settings):
    job = push_start(project=flock.project, user=flock.admin, title="Expired")
    settings.LABEL_STUDIO_TOKEN = "another-token-that-is-wrong"
    run(job)
    assert job.state == Job.State.FAILED
    assert "does not accept ROOST_LS_TOKEN (401)" in job.reason
    assert "another-token" not in job.reason + str(job.report)


# What is refused before anything is sent


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"LABEL_STUDIO_URL": "http://127.0.0.1:1"}, r"can't be reached \(ConnectError\)"),
        ({"LABEL_STUDIO_TOKEN": "wrong"}, r"does not accept ROOST_LS_TOKEN \(401\)"),
        ({"LABEL_STUDIO_TOKEN": ""}, "not set up here"),
    ],
    ids=["away", "token", "not set"],
)
def test_label_studio_that_can_t_be_asked_is_told_at_once(flock, settings, change, sentence):
    for name, value in change.items():
        setattr(settings, name, value)
    with pytest.raises(RoostError, match=sentence):
        push_start(project=flock.project, user=flock.admin, title="No")
    assert not Job.objects.exists()


def test_project_that_is_not_there_is_refused(flock):
    with pytest.raises(RoostError, match="has no project 987654"):
        push_start(project=flock.project, user=flock.admin, number=987654)


def test_interface_that_can_t_tell_negatives_is_refused_and_nothing_is_sent(flock, studio):
    number = studio.add_project()  # brushes for Chicken and Duck, and no choices
    with pytest.raises(
        RoostError, match="no Choices called «absent» with «Chicken», «Duck», and no Choices called «inc"
    ):
        push_start(project=flock.project, user=flock.admin, number=number)
    assert tasks_of(studio, number) == []


def test_labels_of_another_project_are_matched_by_name_and_synonym(flock, studio):
    flock.chicken.synonyms = ["hen"]
    flock.chicken.save()
    labels = ["Hen", "DUCK", "fox"]
    control = {"inputs": [{"type": "Image", "value": "photo"}], "to_name": ["img"], "labels": labels}
    kinds = {"b": "BrushLabels", "absent": "Choices", "incomplete": "Choices"}
    number = studio.add_project({name: {**control, "type": kind} for name, kind in kinds.items()})
    pushed(flock, number=number)
    (row,) = [row for row in tasks_of(studio, number) if row["data"]["name"] == "0.png"]
    said = [(one["from_name"], one["to_name"], one["value"]) for one in row["annotations"][0]["result"]]
    assert said[0][:2] == ("b", "img")
    assert said[0][2]["brushlabels"] == ["Hen"]
    # Nobody here looks for foxes: that is not known, and no negative.
    assert said[1:] == [("absent", "img", {"choices": ["DUCK"]}), ("incomplete", "img", {"choices": ["fox"]})]
    assert row["data"]["photo"].startswith(f"/data/upload/{number}/")


@pytest.mark.parametrize("asked", [{}, {"title": "  "}, {"title": "Both", "number": 1}])
def test_either_a_number_or_a_title_is_asked_for(flock, asked):
    with pytest.raises(RoostError, match="number of a project in Label Studio, or a title"):
        push_start(project=flock.project, user=flock.admin, **asked)


def test_nothing_settled_is_nothing_to_send(barn, studio):
    with pytest.raises(RoostError, match="nothing to send"):
        push_start(project=barn.project, user=barn.admin, title="Empty")


def test_one_push_at_a_time_and_no_second_project_is_made(flock, studio):
    push_start(project=flock.project, user=flock.admin, title="One")
    before = len(studio.projects)
    with pytest.raises(ConflictError, match="under way"):
        push_start(project=flock.project, user=flock.admin, title="Two")
    assert len(studio.projects) == before


def test_project_that_another_one_here_pulls_from_is_its_admins_to_send_to(flock, studio, link):
    other = factories.make_project(factories.make_user())
    number = link.number
    link.project = other
    link.save()
    with pytest.raises(RoostError, match="linked to another project here"):
        push_start(project=flock.project, user=flock.admin, number=number)


def test_project_of_the_same_number_on_another_server_is_another(flock, studio):
    number = pushed(flock, title="Old").report["project"]
    studio.projects[number]["created_at"] = "2027-01-01T00:00:00Z"
    for row in tasks_of(studio, number):
        del studio.tasks[row["id"]]
    assert counts(pushed(flock, number=number)) == (3, 0, 0)


# What is left, and what is told


def test_picture_whose_file_is_gone_is_told_and_the_others_are_sent(flock, settings):
    image = flock.project.images.get(original_name="1.png")
    (settings.IMAGES_DIR / image.sha256[:2] / image.sha256).unlink()
    job = pushed(flock, title="Gone")
    assert counts(job) == (2, 0, 0)
    assert [(row["name"], row["why"][:16]) for row in job.report["left"]] == [("1.png", "Its file is gone")]


def test_task_that_was_deleted_there_is_made_again(flock, studio):
    number = pushed(flock, title="Deleted").report["project"]
    (row,) = [row for row in tasks_of(studio, number) if row["data"]["name"] == "1.png"]
    del studio.tasks[row["id"]]
    assert counts(pushed(flock, number=number)) == (1, 0, 2)
    assert (len(tasks_of(studio, number)), uploads_of(studio, number)) == (3, 3)


def test_image_of_which_nothing_is_settled_any_more_is_told(flock):
    number = pushed(flock, title="Reopened").report["project"]
    flock.project.pairs.filter(image__original_name="2.png").update(truth="unseen", instances=[])
    job = pushed(flock, number=number)
    assert (counts(job), job.report["orphans"]) == ((0, 0, 2), 1)


def test_one_split_alone_may_be_sent(flock, studio):
    flock.project.images.filter(original_name="0.png").update(split="holdout")
    job = pushed(flock, title="Split", splits=["train"])
    assert [row["data"]["name"] for row in tasks_of(studio, job.report["project"])] in (
        ["1.png", "2.png"],
        ["2.png", "1.png"],
    )


# By page, API and command


def test_admin_sends_by_page_and_sees_what_came_of_it(flock, studio, signed_in):
    answer = signed_in(flock.admin).post(PAGE, {"title": "By page"})
    job = run(Job.objects.get())
    assert answer["Location"] == reverse("job", args=["barn", job.pk])
    page = signed_in(flock.admin).get(answer["Location"]).content.decode()
    assert "«By page»" in page
    assert "pictures uploaded" in page
    settings_page = signed_in(flock.admin).get(reverse("label-studio", args=["barn"])).content.decode()
    assert "«By page»" in settings_page
    assert TOKEN not in page + settings_page
    assert AuditEvent.objects.filter(action="label_studio.push", actor=flock.admin).count() == 1


def test_page_says_what_is_wrong_beside_its_field_and_keeps_what_was_typed(flock, studio, signed_in):
    answer = signed_in(flock.admin).post(PAGE, {"number": studio.add_project()})
    assert answer.status_code == 400
    assert "labelling interface" in answer.content.decode()
    answer = signed_in(flock.admin).post(PAGE, {})
    assert "Give either a name for a new project" in answer.content.decode()
    assert not Job.objects.exists()


@pytest.mark.parametrize("who", ["annotator", "reviewer", "outsider"])
def test_only_admins_send(flock, studio, signed_in, api, who):
    status = 404 if who == "outsider" else 403
    assert signed_in(getattr(flock, who)).post(PAGE, {"title": "x"}).status_code == status
    assert api(getattr(flock, who)).post(API, {"title": "x"}, format="json").status_code == status
    assert not Job.objects.exists()


def test_api_starts_a_push_and_refuses_in_the_one_shape(flock, studio, api):
    client = api(flock.admin)
    answer = client.post(API, {"title": "By API", "as_predictions": False}, format="json")
    assert (answer.status_code, answer.json()["kind"]) == (202, "studio_push")
    run(Job.objects.get())
    answer = client.post(API, {"number": 987654}, format="json")
    assert (answer.status_code, answer.json()["error"]["fields"]) == (400, {"number": ["Not found there."]})


def test_command_fails_with_the_sentence(flock, studio):
    with pytest.raises(CommandError, match="has no project 987654"):
        call_command("label_studio", "barn", push=987654, here=True)
