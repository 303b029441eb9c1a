"""Jobs on the page: progress that polls until the end, cancel, reports."""

from django.urls import reverse
from django.utils import timezone

from annotator.jobs.log_page import job_log_parts, job_log_path
from annotator.jobs.runner import job_run
from annotator.jobs.selectors import PAGE, jobs_page
from annotator.models import Job
from annotator.registry.run_files import run_folder
from tests import factories


def fragment(job) -> str:
    return reverse("job-fragment", args=[job.pk])


def test_running_job_goes_on_polling(barn, signed_in):
    job = factories.make_job(
        barn.project,
        state=Job.State.RUNNING,
        progress=0.37,
        message="Halfway",
        eta_seconds=42,
        started_at=timezone.now(),
    )
    answer = signed_in(barn.annotator).get(fragment(job))
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "hx-trigger" in page
    assert "Halfway" in page
    assert "37 % · about 42 s left" in page


def test_ended_job_stops_the_polling(barn, signed_in):
    job = factories.make_job(barn.project, state=Job.State.FAILED, reason="The disk is full; free some.")
    answer = signed_in(barn.annotator).get(fragment(job))
    assert answer.status_code == 286
    assert "hx-trigger" not in answer.content.decode()
    assert "The disk is full; free some." in answer.content.decode()
    assert "HX-Refresh" not in answer


def test_page_around_an_ended_job_is_read_anew_where_it_asked_for_that(barn, signed_in):
    job = factories.make_job(barn.project, state=Job.State.SUCCEEDED)
    assert signed_in(barn.annotator).get(fragment(job) + "?reload=1")["HX-Refresh"] == "true"


def test_job_of_another_project_has_no_fragment(barn, signed_in):
    job = factories.make_job(barn.project)
    assert signed_in(barn.outsider).get(fragment(job)).status_code == 404


def test_cancel_ends_a_waiting_job(barn, signed_in):
    job = factories.make_job(barn.project)
    signed_in(barn.admin).post(reverse("job-cancel", args=["barn", job.pk]))
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED


def test_cancel_asks_a_running_job_to_stop(barn, signed_in):
    job = factories.make_job(barn.project, state=Job.State.RUNNING)
    signed_in(barn.admin).post(reverse("job-cancel", args=["barn", job.pk]))
    job.refresh_from_db()
    assert (job.state, job.cancel_requested) == (Job.State.RUNNING, True)


def test_cancel_of_an_ended_job_says_that_it_has_ended(barn, signed_in):
    job = factories.make_job(barn.project, state=Job.State.SUCCEEDED)
    page = signed_in(barn.admin).post(reverse("job-cancel", args=["barn", job.pk]), follow=True).content.decode()
    assert "This job has already ended" in page


def test_only_admins_see_cancel(barn, signed_in):
    job = factories.make_job(barn.project)
    address = reverse("jobs", args=["barn"])
    assert reverse("job-cancel", args=["barn", job.pk]) in signed_in(barn.admin).get(address).content.decode()
    assert reverse("job-cancel", args=["barn", job.pk]) not in signed_in(barn.reviewer).get(address).content.decode()


def test_import_report_names_what_was_refused_and_why(barn, signed_in):
    report = {"images_added": 29, "images_refused": 1, "problems": [{"file": "notes.txt", "why": "It is no image."}]}
    job = factories.make_job(barn.project, Job.Kind.IMPORT, state=Job.State.SUCCEEDED, report=report)
    page = signed_in(barn.annotator).get(reverse("job", args=["barn", job.pk])).content.decode()
    assert "<code>notes.txt</code></td><td>It is no image." in page
    assert "<b>29</b><span>new images" in page


def test_names_from_outside_are_shown_as_text(barn, signed_in):
    report = {"problems": [{"file": "<script>x</script>.png", "why": "It is no image."}]}
    job = factories.make_job(barn.project, Job.Kind.IMPORT, state=Job.State.SUCCEEDED, report=report)
    page = signed_in(barn.annotator).get(reverse("job", args=["barn", job.pk])).content.decode()
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page


def test_pages_of_jobs_hold_every_job_once(barn):
    Job.objects.bulk_create([Job(project=barn.project, kind="export", state="succeeded") for _ in range(PAGE + 4)])
    first, more = jobs_page(project=barn.project)
    second, end = jobs_page(project=barn.project, before=more)
    assert (len(first), len(second), end) == (PAGE, 4, None)
    assert not {job.pk for job in first} & {job.pk for job in second}


def test_jobs_of_one_kind(barn, signed_in):
    factories.make_job(barn.project, Job.Kind.IMPORT)
    mine = factories.make_job(barn.project, Job.Kind.MINE)
    rows, _ = jobs_page(project=barn.project, kind="mine")
    assert [row.pk for row in rows] == [mine.pk]


def test_log_shows_what_the_worker_said_about_this_job_to_admins(barn, signed_in):
    other, job = (factories.make_job(barn.project, Job.Kind.SNAPSHOT) for _ in range(2))
    for one in (other, job):
        job_log_path(one).unlink(missing_ok=True)
        job_run(job_id=one.pk)
    text = signed_in(barn.admin).get(reverse("job-log", args=["barn", job.pk])).content.decode()
    assert f"job {job.pk} (snapshot) begins, attempt 1" in text
    assert "WARNING job" in text  # nothing is approved, so it was refused
    assert "Nothing is approved yet" in text
    assert f"job {other.pk} " not in text
    assert "hx-trigger" not in text


def test_log_of_a_retrain_has_the_trainer_s_lines_and_only_the_newest(barn, signed_in):
    run = factories.make_training_run(barn.project)
    run_folder(run).mkdir(parents=True, exist_ok=True)
    (run_folder(run) / "log.txt").write_text("".join(f"line {n:06d} of the trainer\n" for n in range(5000)))
    text = dict(job_log_parts(job=run.job))["Trainer"]
    lines = text.splitlines()
    assert lines[0] == "… earlier lines are in the file"
    assert (lines[1].startswith("line "), lines[-1]) == (True, "line 004999 of the trainer")
    assert len(text) < 70_000


def test_log_of_a_job_that_left_none_says_so(barn, signed_in):
    job = factories.make_job(barn.project, state=Job.State.SUCCEEDED)
    job_log_path(job).unlink(missing_ok=True)
    assert "has left lines" in signed_in(barn.admin).get(reverse("job-log", args=["barn", job.pk])).content.decode()
