"""Events in the spool: read strictly, followed once, never trusted, never in each other's way."""

import json
import logging
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from annotator.jobs.runner import job_run
from annotator.jobs.services import JobCancelled, JobContext, job_cancel
from annotator.label_studio import pull as label_studio_pull
from annotator.label_studio.links import pull_request_add, pull_start
from annotator.label_studio.spool import label_studio_sweep, spool_take_in
from annotator.models import Annotation, Job, LabelStudioBell, LabelStudioLink
from tests import factories
from tests.processes import celery_worker, wait_until
from tests.web.label_studio_fixtures import blob, picture, pull
from tests.web.label_studio_stand_in import brush

pytestmark = pytest.mark.django_db


@pytest.fixture
def spool(settings, tmp_path) -> Path:
    settings.LABEL_STUDIO_SPOOL = tmp_path
    return tmp_path


def drop(spool: Path, number: int, **fields) -> Path:
    """An event as mlbackend/label_studio/spool.py writes it."""
    event = {"received_at": "2026-01-01T00:00:00+00:00", "alias": "default", "action": "ANNOTATION_CREATED"}
    event |= {"project": 1, "tasks": [], "annotations": [], "authenticated": False} | fields
    path = spool / f"{number:020d}-abc.json"
    path.write_text(json.dumps(event))
    return path


def ended(job: Job, state: str, minutes_ago: float = 0) -> None:
    Job.objects.filter(pk=job.pk).update(state=state, finished_at=timezone.now() - timedelta(minutes=minutes_ago))


def test_events_become_one_bell_a_task_and_one_job(link, spool):
    for number in range(3):
        drop(spool, number, project=link.number, tasks=[8])
    drop(spool, 9, project=link.number, tasks=[9], action="ANNOTATION_UPDATED")
    assert len(label_studio_sweep()) == 1
    assert list(spool.glob("*.json")) == []
    assert sorted(link.bells.values_list("number", flat=True)) == [8, 9]
    assert label_studio_sweep() == []  # that one is under way


def test_file_stays_until_its_bell_is_stored(link, spool, monkeypatch):
    path = drop(spool, 1, project=link.number, tasks=[8])
    monkeypatch.setattr(LabelStudioBell, "save", _killed)
    with pytest.raises(KeyboardInterrupt):
        spool_take_in()
    monkeypatch.undo()
    assert path.exists()


def _killed(*args, **more):
    raise KeyboardInterrupt


def test_deletion_rings_for_the_task_that_the_annotation_was_taken_from(link, studio, spool):
    task = studio.add_task(link.number, picture(60))
    number = studio.annotate(task, [brush(blob())])
    pull(link, task)
    drop(spool, 1, project=link.number, action="ANNOTATIONS_DELETED", annotations=[number, number + 1000])
    spool_take_in()
    assert list(link.bells.values_list("number", flat=True)) == [task]


def test_event_that_names_as_many_ids_as_are_kept_rings_for_everything(link, spool):
    drop(spool, 1, project=link.number, action="ANNOTATIONS_CREATED", tasks=list(range(1, 101)))
    spool_take_in()
    assert list(link.bells.values_list("number", flat=True)) == [0]


BROKEN = {
    "cut": b"{",
    "deep": b"[" * 100_000,
    "list": b"[1]",
    "action": b'{"action": "DROP_TABLES", "project": 1, "tasks": [], "annotations": []}',
    "list as action": b'{"action": ["ANNOTATION_CREATED"], "project": 1, "tasks": [], "annotations": []}',
    "text as id": b'{"action": "ANNOTATION_CREATED", "project": "1", "tasks": [], "annotations": []}',
    "no project": b'{"action": "ANNOTATION_CREATED", "project": null, "tasks": [], "annotations": []}',
    "bool as id": b'{"action": "ANNOTATION_CREATED", "project": 1, "tasks": [true], "annotations": []}',
    "negative id": b'{"action": "ANNOTATION_CREATED", "project": 1, "tasks": [-8], "annotations": []}',
    "no list": b'{"action": "ANNOTATION_CREATED", "project": 1, "tasks": 8, "annotations": []}',
    "forged": b'{"action": "START_TRAINING", "project": 1, "tasks": [], "annotations": [], "authenticated": 1}',
    "large": b" " * 100_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_event_is_put_aside_and_holds_nothing_up(link, spool, content, caplog):
    (spool / "00-broken.json").write_bytes(content)
    drop(spool, 7, project=link.number, tasks=[8])
    with caplog.at_level(logging.WARNING, logger="annotator"):
        assert spool_take_in() == 1
    assert [path.name for path in spool.rglob("*.json")] == ["00-broken.json"]
    assert (spool / "refused" / "00-broken.json").read_bytes() == content
    assert "00-broken.json" in caplog.text


def test_event_of_a_project_that_nobody_linked_is_dropped(link, spool):
    drop(spool, 1, project=link.number + 999, tasks=[8])
    assert spool_take_in() == 0
    assert list(spool.rglob("*.json")) == []
    assert not LabelStudioBell.objects.exists()


def test_bell_rung_while_its_task_was_looked_at_is_not_put_to_rest(link, studio, monkeypatch):
    pull_request_add(link=link, numbers=[8])
    real, rung = label_studio_pull.answers_store, []

    def ring_once_more(**more):
        real(**more)
        if not rung:
            rung.append(pull_request_add(link=link, numbers=[8]))

    monkeypatch.setattr(label_studio_pull, "answers_store", ring_once_more)
    job = factories.make_job(link.project, Job.Kind.LABEL_STUDIO)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.report["tasks"], link.bells.count()) == (2, 0)


def test_failed_pull_is_tried_again_ever_later(link, studio, spool):
    pull_request_add(link=link, numbers=[8])
    job = factories.make_job(link.project, Job.Kind.LABEL_STUDIO)
    ended(job, Job.State.FAILED, minutes_ago=1)
    assert label_studio_sweep() == []
    ended(job, Job.State.FAILED, minutes_ago=3)
    (second,) = label_studio_sweep()
    ended(Job.objects.get(pk=second), Job.State.FAILED, minutes_ago=3)
    assert label_studio_sweep() == []  # the second failure in a row: four minutes


def test_cancelled_pull_begins_again_only_when_something_new_comes(link, studio, spool):
    pull_request_add(link=link, numbers=[8])
    (number,) = label_studio_sweep()
    job_cancel(job=Job.objects.get(pk=number), user=None)
    assert label_studio_sweep() == []
    pull_request_add(link=link, numbers=[9])
    assert len(label_studio_sweep()) == 1


def press_start_training(spool: Path, link) -> None:
    for number in range(3):
        drop(spool, number, project=link.number, action="START_TRAINING", authenticated=True)


def swept() -> Job:
    """The one job that a sweep starts, done."""
    (number,) = label_studio_sweep()
    job_run(job_id=number)
    job = Job.objects.get(pk=number)
    assert job.state == Job.State.SUCCEEDED, job.reason
    return job


def test_presses_of_start_training_are_one_retrain_after_the_time_set(barn, link, spool, settings):
    for split in ("train", "val", "holdout"):
        for truth in ("present", "absent"):
            factories.make_pair(barn.project, image=factories.make_image(barn.project, split=split), truth=truth)
    press_start_training(spool, link)
    assert label_studio_sweep() == []  # 60 s are not over
    settings.LABEL_STUDIO_TRAIN_SECONDS = 0
    assert swept().report["run"] == 1
    assert label_studio_sweep() == []
    press_start_training(spool, link)
    assert "A retrain is under way" in swept().report["training"]
    assert Job.objects.filter(kind=Job.Kind.RETRAIN).count() == 1


def test_start_training_that_can_t_be_followed_is_told_and_no_failure(link, spool, settings):
    settings.LABEL_STUDIO_TRAIN_SECONDS = 0
    press_start_training(spool, link)
    assert "Nothing is approved yet" in swept().report["training"]
    assert LabelStudioLink.objects.get().training_asked_at is None


def test_full_pull_that_is_cancelled_is_forgotten(link, studio, monkeypatch):
    """A person who stops it does not want the next event to go on with it."""
    studio.annotate(studio.add_task(link.number, picture(62)), [brush(blob())])
    job = pull_start(project=link.project, user=link.linked_by)

    def cancelled(self, *args, **more):
        self.stop_reason = "cancelled"
        raise JobCancelled(self.stop_reason)

    monkeypatch.setattr(JobContext, "progress", cancelled)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, link.bells.count()) == (Job.State.CANCELLED, 0)


@pytest.mark.django_db(transaction=True)
def test_worker_drains_the_spool_by_itself_and_another_goes_on_when_it_is_killed(link, studio, settings, monkeypatch):
    tasks = [studio.add_task(link.number, picture(seed)) for seed in range(100, 130)]
    for task in tasks:
        studio.annotate(task, [brush(blob())])
    for name in ("URL", "TOKEN"):
        monkeypatch.setenv(f"ROOST_LS_{name}", getattr(settings, f"LABEL_STUDIO_{name}"))
    monkeypatch.setenv("ROOST_LS_NETWORKS", "127.0.0.0/8")
    settings.LABEL_STUDIO_SPOOL.mkdir(parents=True, exist_ok=True)
    drop(settings.LABEL_STUDIO_SPOOL, 1, project=link.number, tasks=tasks)
    answers = Annotation.objects.filter(task__project=link.project)
    with celery_worker("drain", app="annotator.celery") as first:
        wait_until(lambda: answers.count() > 2)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert 2 < answers.count() < len(tasks)
    with celery_worker("drains-on", app="annotator.celery"):
        wait_until(lambda: Job.objects.filter(kind=Job.Kind.LABEL_STUDIO, state="succeeded").exists())
    assert answers.count() == len(tasks)
    assert set(answers.values_list("task__state", "revision")) == {("submitted", 1)}
    assert list(settings.LABEL_STUDIO_SPOOL.glob("*.json")) == []
