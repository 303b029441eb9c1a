"""Images that come in by themselves: each once, mined, queued where hard; what is set aside is watched for misses."""

import os
import shutil
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command

from annotator.common.errors import ConflictError, RoostError
from annotator.data.feed_judging import is_sampled
from annotator.data.feed_looks import feed_look, feeds_look, feeds_sweep
from annotator.data.feeds import feed_add, feed_states, feed_switch
from annotator.jobs import context as job_context
from annotator.jobs.kinds import SWEEPS
from annotator.jobs.runner import job_run
from annotator.models import Feed, FeedFile, Image, Job, ModelVersion, Task
from annotator.queue.candidates import pairs_to_mine
from tests import factories
from tests.web.test_scenes import jpeg, scene


def watched(barn, folder: Path, **fields) -> Feed:
    folder.mkdir(exist_ok=True)
    return feed_add(project=barn.project, user=barn.admin, place=str(folder), named_by_person=False, **fields)


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(factories.image_bytes())


def look(feed: Feed, times: int = 1) -> Feed:
    for _ in range(times):
        feed_look(feed=Feed.objects.select_related("project").get(pk=feed.pk))
    return Feed.objects.get(pk=feed.pk)


def run_jobs(kind: str = Job.Kind.FEED) -> list[Job]:
    """Do what waits, as a worker would."""
    jobs = list(Job.objects.filter(kind=kind, state=Job.State.QUEUED).order_by("pk"))
    for job in jobs:
        job_run(job_id=job.pk)
        job.refresh_from_db()
    return jobs


def states(feed: Feed) -> dict[str, str]:
    return dict(feed.files.values_list("name", "state"))


def test_files_are_taken_in_once_they_stand_still(barn, tmp_path):
    feed = watched(barn, tmp_path / "in", source="camera 1")
    put(tmp_path / "in", "a.png")
    look(feed)
    assert (states(feed), run_jobs()) == ({"a.png": "seen"}, [])
    with (tmp_path / "in" / "a.png").open("ab") as file:  # still being written
        file.write(b"\0")
    look(feed)
    assert (states(feed), run_jobs()) == ({"a.png": "seen"}, [])
    look(feed)
    (job,) = run_jobs()
    assert (job.state, job.report["images_added"]) == ("succeeded", 1)
    row = Image.objects.get()
    assert (row.source, row.original_name, states(feed)) == ("camera 1", "a.png", {"a.png": "imported"})


def test_each_file_comes_once_and_later_ones_as_well(barn, tmp_path):
    feed = watched(barn, tmp_path / "in")
    put(tmp_path / "in", "a.png", "b.png")
    look(feed, 2), run_jobs()
    look(feed, 3)
    assert run_jobs() == []
    shutil.copy(tmp_path / "in" / "a.png", tmp_path / "in" / "copy.png")
    put(tmp_path / "in", "c.png")
    look(feed, 2)
    (job,) = run_jobs()
    assert (job.report["images_added"], job.report["images_already_there"]) == (1, 1)
    assert Image.objects.count() == 3


def test_restart_in_the_middle_loses_and_doubles_nothing(barn, tmp_path):
    feed = watched(barn, tmp_path / "in")
    put(tmp_path / "in", *(f"{number}.png" for number in range(5)))
    look(feed, 2)
    job_context.worker_stops.set()
    try:
        (job,) = run_jobs()
    finally:
        job_context.worker_stops.clear()
    assert (job.state, Image.objects.count()) == ("queued", 0)
    look(feed)  # another worker's sweeper: the job is under way still
    assert Job.objects.filter(kind="feed").count() == 1
    run_jobs()
    assert (Image.objects.count(), set(states(feed).values())) == (5, {"imported"})


def test_job_that_was_lost_is_made_anew_for_what_is_ready(barn, tmp_path):
    feed = watched(barn, tmp_path / "in")
    put(tmp_path / "in", "a.png")
    look(feed, 2)
    Job.objects.update(state=Job.State.FAILED)
    look(feed)
    assert [job.state for job in run_jobs()] == ["succeeded"]


def test_bad_files_are_refused_with_their_reason_and_others_left(barn, tmp_path):
    feed = watched(barn, tmp_path / "in")
    put(tmp_path / "in", "good.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n half")
    (tmp_path / "in" / "notes.txt").write_text("hello")
    os.symlink("/etc/passwd", tmp_path / "in" / "link.png")
    look(feed, 2), run_jobs()
    assert states(feed) == {"good.png": "imported", "bad.png": "refused"}
    (state,) = feed_states(project=barn.project)
    assert (state.feed.others, state.counts["refused"]) == (2, 1)
    assert [row.name for row in state.refused] == ["bad.png"]
    assert state.refused[0].why


def test_mining_follows_by_itself_and_waits_for_one_under_way(barn, tmp_path):
    feed = watched(barn, tmp_path / "in")
    put(tmp_path / "in", "a.png")
    look(feed, 2), run_jobs()
    other = factories.make_job(barn.project, Job.Kind.MINE)
    assert look(feed).needs_mining
    Job.objects.filter(pk=other.pk).update(state=Job.State.SUCCEEDED)
    assert not look(feed).needs_mining
    (job,) = Job.objects.filter(kind=Job.Kind.MINE, state=Job.State.QUEUED)
    assert job.created_by is None


def test_folder_that_is_gone_is_told_and_tried_again(barn, tmp_path):
    feed = watched(barn, tmp_path / "in")
    (tmp_path / "in").rmdir()
    assert "There is no file or folder" in look(feed).error
    (tmp_path / "in").mkdir()
    assert look(feed).error == ""


def test_paused_feed_is_not_looked_at(barn, tmp_path):
    feed = watched(barn, tmp_path / "in")
    put(tmp_path / "in", "a.png")
    feed_switch(feed=feed, user=barn.admin, enabled=False)
    assert (feeds_look(), states(feed)) == (0, {})
    feed_switch(feed=feed, user=barn.admin, enabled=True)
    assert (feeds_look(), states(feed)) == (1, {"a.png": "seen"})
    assert feeds_look() == 0, "its turn comes after the interval"
    assert feeds_sweep in SWEEPS


def test_people_watch_only_what_is_opened_and_a_place_once(barn, tmp_path, settings):
    with pytest.raises(RoostError, match="ROOST_SOURCES"):
        feed_add(project=barn.project, user=barn.admin, place=str(tmp_path))
    settings.SOURCES = [str(tmp_path)]
    feed = feed_add(project=barn.project, user=barn.admin, place=str(tmp_path))
    with pytest.raises(ConflictError, match="watched already"):
        feed_add(project=barn.project, user=barn.admin, place=str(tmp_path))
    with pytest.raises(ConflictError, match="watched already, as source"):
        feed_add(project=barn.project, user=barn.admin, place=str(tmp_path), source="another")
    settings.SOURCES = []
    assert "ROOST_SOURCES" in look(feed).error


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/cams", "/cams/one", True),
        ("/cams/one", "/cams", True),
        ("/cams", "/cams-old", False),
        ("s3://a/cam", "s3://a/cam-1/", True),  # a prefix is no folder
        ("s3://a/one/", "s3://a/two/", False),
    ],
)
def test_no_two_feeds_read_the_same_files(barn, one, other, same):
    first = feed_add(project=barn.project, user=None, place=one, named_by_person=False)
    if not same:
        assert feed_add(project=barn.project, user=None, place=other, named_by_person=False).enabled
        return
    with pytest.raises(ConflictError, match=r"hold the same files\. Pause that feed first"):
        feed_add(project=barn.project, user=None, place=other, named_by_person=False)
    feed_switch(feed=first, user=None, enabled=False)
    feed_add(project=barn.project, user=None, place=other, named_by_person=False)
    with pytest.raises(ConflictError, match="hold the same files"):
        feed_switch(feed=first, user=None, enabled=True)


def test_another_project_may_watch_the_same_place(barn):
    feed_add(project=barn.project, user=None, place="/cams", named_by_person=False)
    assert feed_add(project=factories.make_project(), user=None, place="/cams", named_by_person=False).enabled


@pytest.mark.django_db(transaction=True)
def test_bucket_prefix_is_watched_as_well(barn, s3):
    s3.bucket("cameras", {"one/a.png": factories.image_bytes(), "two/b.png": factories.image_bytes()})
    feed = feed_add(project=barn.project, user=None, place="s3://cameras/one", named_by_person=False)
    look(feed), run_jobs()  # an object is there whole or not at all: one look is enough
    s3.client.put_object(Bucket="cameras", Key="one/c.png", Body=factories.image_bytes())
    look(feed), run_jobs()
    look(feed, 2)
    assert (run_jobs(), states(feed)) == ([], {"a.png": "imported", "c.png": "imported"})
    assert set(Image.objects.values_list("source", flat=True)) == {"one"}


@pytest.mark.django_db(transaction=True)
def test_bucket_prefix_in_which_nothing_lies_yet_is_watched_and_no_error(barn, s3):
    s3.bucket("morning", {"elsewhere/a.png": factories.image_bytes()})
    feed = feed_add(project=barn.project, user=None, place="s3://morning/yard", named_by_person=False)
    assert look(feed).error == ""
    s3.client.put_object(Bucket="morning", Key="yard/a.png", Body=factories.image_bytes())
    assert look(feed).error == ""
    run_jobs()
    assert states(feed) == {"a.png": "imported"}


def mined(barn, presence: dict[str, float], version=None) -> None:
    """The serving model has looked at every image, by name."""
    Job.objects.filter(kind=Job.Kind.MINE).update(state=Job.State.SUCCEEDED)
    for image in barn.project.images.all():
        if image.original_name in presence:
            factories.make_prediction(
                image.pairs.get(), presence[image.original_name], **({"model_version": version} if version else {})
            )


def taken_in(barn, folder: Path, names: list[str]) -> Feed:
    feed = watched(barn, folder)
    put(folder, *names)
    look(feed, 2), run_jobs()
    look(feed)  # mining is queued
    return feed


def test_footage_in_which_the_model_is_sure_of_nothing_is_set_aside(barn, tmp_path):
    feed = taken_in(barn, tmp_path / "in", ["sure.png", "unsure.png", "there.png", "unscored.png"])
    mined(barn, {"sure.png": 0.05, "unsure.png": 0.45, "there.png": 0.99})
    look(feed)
    assert dict(feed.files.values_list("name", "set_aside")) == {
        **{"sure.png": True, "unsure.png": False},
        **{"there.png": False, "unscored.png": False},
    }
    waits = set(pairs_to_mine(project=barn.project).values_list("image__original_name", flat=True))
    assert waits == {"unsure.png", "there.png", "unscored.png"}
    assert set(barn.project.pairs.values_list("truth", flat=True)) == {"unseen"}, "set aside is never a negative"


def test_another_serving_model_looks_at_what_was_set_aside(barn, tmp_path):
    feed = taken_in(barn, tmp_path / "in", ["sure.png"])
    Image.objects.update(split=Image.Split.TRAIN)  # what the draw puts into the holdout is mined by no model
    mined(barn, {"sure.png": 0.05})
    look(feed)
    assert not pairs_to_mine(project=barn.project).exists()
    barn.project.serving_version = newer = ModelVersion.objects.create(name="newer")
    barn.project.save()
    assert pairs_to_mine(project=barn.project).count() == 1
    mined(barn, {"sure.png": 0.7}, newer)
    look(feed)
    assert not feed.files.get().set_aside


def test_random_sample_of_what_was_set_aside_tells_the_miss_rate(barn, tmp_path):
    names = [f"{number}.png" for number in range(60)]
    feed = taken_in(barn, tmp_path / "in", names)
    mined(barn, dict.fromkeys(names, 0.05))
    look(feed)
    drawn = {row.original_name for row in Image.objects.all() if is_sampled(row.sha256)}
    asked = Task.objects.filter(lane=Task.Reason.MANUAL)
    assert {task.pair.image.original_name for task in asked} == drawn
    assert set(feed.files.filter(sampled=True).values_list("name", flat=True)) == drawn
    look(feed, 2)
    assert asked.count() == len(drawn), "each is asked for once"


def test_miss_rate_counts_settled_samples_with_its_interval(barn, tmp_path):
    feed = taken_in(barn, tmp_path / "in", [f"{number}.png" for number in range(12)])
    FeedFile.objects.update(judged_by=barn.project.serving_version, set_aside=True, sampled=True)
    pairs = list(barn.project.pairs.order_by("pk"))
    for number, pair in enumerate(pairs[:10]):
        pair.truth = "present" if number == 0 else "absent"
        pair.save()
    (state,) = feed_states(project=barn.project)
    assert (feed.pk, state.misses.settled, state.misses.missed) == (state.feed.pk, 10, 1)
    low, high = state.misses.interval
    assert (round(low, 4), round(high, 4)) == (0.0179, 0.4042)  # Wilson for 1 of 10


def test_sample_is_one_in_twenty():
    drawn = sum(is_sampled(f"{number:064x}") for number in range(20_000))
    assert 900 < drawn < 1100


def test_posted_images_are_answered_file_by_file_and_go_the_same_way(barn, api):
    good, other = factories.image_bytes(), factories.image_bytes()
    files = [SimpleUploadedFile(name, data) for name, data in (("a.png", good), ("b.png", b"no image"))]
    told = api(barn.admin).post("/api/v1/projects/barn/images", {"images": files, "source": "camera 7"})
    assert told.status_code == 200
    assert [(row["name"], row["state"]) for row in told.json()["files"]] == [("a.png", "added"), ("b.png", "refused")]
    again = [SimpleUploadedFile("c.png", good), SimpleUploadedFile("d.png", other)]
    told = api(barn.admin).post("/api/v1/projects/barn/images", {"images": again, "source": "camera 7"})
    assert [row["state"] for row in told.json()["files"]] == ["already_there", "added"]
    assert set(Image.objects.values_list("source", flat=True)) == {"camera 7"}
    feed = Feed.objects.get()
    assert feed.needs_mining
    look(feed)
    assert Job.objects.filter(kind=Job.Kind.MINE).count() == 1


@pytest.mark.django_db(transaction=True)
def test_images_posted_one_by_one_find_their_scene(barn, api):
    def send(name: str, data: bytes) -> dict:
        body = {"images": [SimpleUploadedFile(name, data)]}
        return api(barn.admin).post("/api/v1/projects/barn/images", body).json()["files"][0]

    for number in range(3):
        send(f"{number}.jpg", jpeg(scene(number), 95))
    Image.objects.filter(original_name="1.jpg").update(split="holdout")
    assert [send(f"again {number}.jpg", jpeg(scene(number), 50))["state"] for number in range(3)] == ["added"] * 3
    assert Image.objects.get(original_name="again 1.jpg").split == "holdout"
    assert Image.objects.values("scene").distinct().count() == 3


def test_command_adds_looks_and_lists(barn, tmp_path, capsys):
    put(tmp_path, "a.png")
    call_command("feed", "barn", "--add", str(tmp_path), "--source", "camera 3")
    call_command("feed", "barn", "--look")
    call_command("feed", "barn", "--look")
    run_jobs()
    call_command("feed", "barn", "--pause", str(Feed.objects.get().pk))
    assert "paused  imported 1" in capsys.readouterr().out


def test_page_adds_pauses_and_shows_what_failed(barn, signed_in, tmp_path, settings):
    settings.SOURCES = [str(tmp_path)]
    browser = signed_in(barn.admin)
    assert browser.post("/p/barn/feeds/", {"place": "/etc", "interval_seconds": 60}).status_code == 400
    assert browser.post("/p/barn/feeds/", {"place": str(tmp_path), "interval_seconds": 1}).status_code == 400
    assert browser.post("/p/barn/feeds/", {"place": str(tmp_path), "interval_seconds": 60}).status_code == 302
    feed = Feed.objects.get()
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    look(feed, 2), run_jobs()
    assert b"bad.png" in browser.get("/p/barn/feeds/").content
    browser.post(f"/p/barn/feeds/{feed.pk}/")
    assert not Feed.objects.get().enabled
    assert browser.post(f"/p/barn/feeds/{feed.pk + 1}/").status_code == 404
