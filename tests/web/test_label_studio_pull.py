"""What is annotated in Label Studio arrives for review, whatever is repeated, changed or taken back there."""

import io

import numpy as np
import pytest
from PIL import Image as PillowImage
from pycocotools import mask as coco

from annotator.concepts.services import concept_retire
from annotator.data.image_store import image_add
from annotator.jobs.runner import job_run
from annotator.label_studio.links import pull_request_add
from annotator.models import Annotation, AuditEvent, Image, Job, LabelStudioBell, Pair, Task
from annotator.queue.leases import task_claim
from annotator.review.decisions import review_decide
from tests import factories
from tests.web.label_studio_fixtures import SIZE, blob, picture, pull
from tests.web.label_studio_stand_in import brush, running_stand_in

pytestmark = pytest.mark.django_db


def decoded(annotation: Annotation) -> list[np.ndarray]:
    masks = [one["mask"] for one in annotation.instances]
    return [coco.decode({**mask, "counts": mask["counts"].encode()}).astype(bool) for mask in masks]


def test_annotation_arrives_pixel_by_pixel_and_waits_for_review(link, studio, barn):
    task = studio.add_task(link.number, picture(1))
    mask = blob()
    mask[5, 4] = False  # a hole
    studio.annotate(task, [brush(mask)])
    report = pull(link, task)
    assert (report["added"], report["images_added"], report["left"]) == (1, 1, [])
    answer = Annotation.objects.get()
    assert answer.task.state == Task.State.SUBMITTED
    assert answer.pair.truth == Pair.Truth.UNSEEN
    assert (answer.verdict, answer.active_seconds, answer.pair.concept) == ("present", 3.5, barn.chicken)
    assert (decoded(answer)[0] == mask).all()
    assert not link.bells.exists()


def test_image_is_known_by_its_content_and_keeps_its_split(link, studio, barn):
    data = picture(2)
    image, _ = image_add(project=barn.project, stream=io.BytesIO(data), name="other.png", split=Image.Split.VAL)
    task = studio.add_task(link.number, data)
    studio.annotate(task, [brush(blob())])
    assert pull(link, task)["images_added"] == 0
    assert Annotation.objects.get().pair.image == image
    image.refresh_from_db()
    assert image.split == Image.Split.VAL


def test_pull_repeated_changes_nothing(link, studio):
    task = studio.add_task(link.number, picture(3))
    studio.annotate(task, [brush(blob())])
    pull(link)
    asked = [path for path, _ in studio.asked if path.startswith("/data/")]
    report = pull(link)
    assert (report["added"], report["unchanged"]) == (0, 1)
    assert Annotation.objects.count() == 1
    assert [path for path, _ in studio.asked if path.startswith("/data/")] == asked  # not fetched again


def test_saved_again_it_becomes_a_new_revision_and_what_it_was_stays(link, studio):
    task = studio.add_task(link.number, picture(4))
    number = studio.annotate(task, [brush(blob())])
    pull(link, task)
    studio.annotation(task, number).update(result=[brush(blob(x=6))], updated_at="2026-03-01T00:00:00Z")
    assert pull(link, task)["changed"] == 1
    first, second = Annotation.objects.order_by("revision")
    assert (first.revision, second.revision, first.task) == (1, 2, second.task)
    assert (decoded(second)[0] == blob(x=6)).all()
    assert (decoded(first)[0] == blob()).all()


def test_deleted_annotation_is_withdrawn_and_comes_back_when_made_again(link, studio):
    task = studio.add_task(link.number, picture(5))
    studio.annotate(task, [brush(blob())])
    pull(link, task)
    studio.tasks[task]["annotations"].clear()
    assert pull(link, task)["withdrawn"] == 1
    assert Task.objects.get().state == Task.State.WITHDRAWN
    assert AuditEvent.objects.filter(action="task.withdraw").count() == 1
    studio.annotate(task, [brush(blob())])
    assert pull(link, task)["added"] == 1
    assert list(Task.objects.order_by("pk").values_list("state", flat=True)) == ["withdrawn", "submitted"]


def test_answer_returns_after_it_was_something_else_and_withdrawn(link, studio):
    task = studio.add_task(link.number, picture(6))
    number = studio.annotate(task, [brush(blob())])
    pull(link, task)
    studio.annotation(task, number)["result"] = [brush(blob(x=6))]
    pull(link, task)
    studio.annotation(task, number)["result"] = []
    pull(link, task)
    studio.annotation(task, number)["result"] = [brush(blob())]
    assert pull(link, task)["added"] == 1
    assert Task.objects.filter(state=Task.State.SUBMITTED).count() == 1


def test_approved_work_stays_whatever_happens_in_label_studio(link, studio, barn):
    task = studio.add_task(link.number, picture(7))
    number = studio.annotate(task, [brush(blob())])
    pull(link, task)
    review_decide(annotation=Annotation.objects.get(), reviewer=barn.reviewer, decision="approve")
    studio.annotation(task, number)["result"] = [brush(blob(x=6))]
    assert "approved here already and stays" in pull(link, task)["left"][0]["why"]
    studio.tasks[task]["annotations"].clear()
    assert "withdrawn in Label Studio, but is approved" in pull(link, task)["left"][0]["why"]
    pair = Pair.objects.get()
    assert (pair.truth, Task.objects.get().state) == (Pair.Truth.PRESENT, Task.State.APPROVED)
    assert pair.instances == Annotation.objects.get().instances


def test_retired_concept_is_left_in_peace(link, studio, barn):
    task = studio.add_task(link.number, picture(50))
    studio.annotate(task, [brush(blob())])
    pull(link, task)
    review_decide(annotation=Annotation.objects.get(), reviewer=barn.reviewer, decision="approve")
    concept_retire(concept=barn.chicken, user=barn.admin)
    report = pull(link, task)
    assert (report["left"], report["unknown_labels"]) == ([], {"Chicken": 1})


def test_what_a_reviewer_sent_back_comes_again_when_it_is_mended_there(link, studio, barn):
    task = studio.add_task(link.number, picture(8))
    number = studio.annotate(task, [brush(blob())])
    pull(link, task)
    review_decide(annotation=Annotation.objects.get(), reviewer=barn.reviewer, decision="send_back", comment="wider")
    assert pull(link, task)["unchanged"] == 1
    assert Task.objects.get().state == Task.State.RETURNED
    studio.annotation(task, number)["result"] = [brush(blob(w=9))]
    pull(link, task)
    assert Task.objects.get().state == Task.State.SUBMITTED


def test_holdout_takes_nothing_from_label_studio(link, studio, barn):
    data = picture(9)
    image_add(project=barn.project, stream=io.BytesIO(data), name="a.png", split=Image.Split.HOLDOUT)
    task = studio.add_task(link.number, data)
    studio.annotate(task, [brush(blob())])
    assert "holdout" in pull(link, task)["left"][0]["why"]
    assert not Task.objects.exists()


def test_waiting_task_of_the_queue_takes_the_answer(link, studio, barn):
    task = studio.add_task(link.number, picture(10))
    pull(link, task)  # nothing annotated yet
    studio.annotate(task, [brush(blob())])
    pull(link, task)
    Task.objects.all().delete()
    queued = factories.make_task(barn.project, Pair.objects.get(), predicted=False)
    studio.annotate(task, [brush(blob(x=4))])
    assert pull(link, task)["added"] == 1
    assert Annotation.objects.get().task == queued


def test_answer_at_the_desk_goes_first(link, studio, barn):
    task = studio.add_task(link.number, picture(11))
    studio.annotate(task, [brush(blob())])
    pull(link, task)
    Task.objects.all().delete()
    factories.make_task(barn.project, Pair.objects.get(), predicted=False)
    held = task_claim(project=barn.project, user=barn.reviewer)
    assert "on somebody's desk" in pull(link, task)["left"][0]["why"]
    factories.make_annotation(held, barn.reviewer)
    assert "another answer here that waits" in pull(link, task)["left"][0]["why"]
    assert Annotation.objects.get().author == barn.reviewer


def test_author_is_the_member_with_that_address_and_else_the_one_named(link, studio, barn):
    barn.reviewer.email = "Rita@Example.com"
    barn.reviewer.save()
    studio.users.update({5: "rita@example.com", 6: "stranger@example.com"})
    first, second = studio.add_task(link.number, picture(12)), studio.add_task(link.number, picture(13))
    studio.annotate(first, [brush(blob())], by=5)
    studio.annotate(second, [brush(blob())], by=6)
    pull(link)
    authors = [answer.author for answer in Annotation.objects.order_by("pk")]
    assert authors == [barn.reviewer, barn.annotator]


def test_ground_truth_counts_before_the_newest_and_skipped_ones_not_at_all(link, studio):
    task = studio.add_task(link.number, picture(14))
    studio.annotate(task, [brush(blob())], ground_truth=True)
    studio.annotate(task, [brush(blob(x=6))])
    studio.annotate(task, [brush(blob(x=8))], was_cancelled=True)
    report = pull(link, task)
    assert (decoded(Annotation.objects.get())[0] == blob()).all()
    assert "3 annotations" in report["left"][0]["why"]


def test_what_is_left_out_is_a_negative_only_where_somebody_vouches(link, studio, barn):
    duck = factories.make_concept(barn.project, "duck")
    task = studio.add_task(link.number, picture(15))
    studio.annotate(task, [brush(blob())])
    pull(link, task)
    assert not Annotation.objects.filter(pair__concept=duck).exists()
    link.exhaustive = True
    link.save()
    pull(link, task)
    assert Annotation.objects.get(pair__concept=duck).verdict == "absent"


@pytest.mark.parametrize("policy", ["all", "sample"])
@pytest.mark.parametrize("vouched", [True, False])
def test_objects_sent_are_all_of_them_only_where_somebody_vouches(link, studio, barn, policy, vouched):
    barn.project.review_policy, barn.project.review_share = policy, 0.0
    barn.project.save()
    link.exhaustive = vouched
    link.save()
    task = studio.add_task(link.number, picture(17))
    studio.annotate(task, [brush(blob())])
    pull(link, task)
    answer = Annotation.objects.get(pair__concept=barn.chicken)
    assert answer.task.state == {"all": Task.State.SUBMITTED, "sample": Task.State.APPROVED}[policy]
    if policy == "all":
        review_decide(annotation=answer, reviewer=barn.reviewer, decision="approve")
    pair = Pair.objects.get(concept=barn.chicken)
    assert (pair.truth, pair.is_exhaustive) == ("present", vouched)


def test_nobody_vouches_for_what_could_not_be_drawn_or_read(link, studio, barn):
    factories.make_concept(barn.project, "goose")  # a keypoint label: it has no brush
    factories.make_concept(barn.project, "duck")
    link.exhaustive = True
    link.save()
    task = studio.add_task(link.number, picture(16))
    box = {"type": "rectanglelabels", "original_width": SIZE, "original_height": SIZE}
    studio.annotate(task, [brush(blob()), box | {"value": {"rectanglelabels": ["Duck"]}}])
    report = pull(link, task)
    assert list(Annotation.objects.values_list("pair__concept__name", flat=True)) == ["chicken"]
    assert "no mask" in report["left"][0]["why"]


def test_label_that_is_no_concept_is_counted_and_left_out(link, studio):
    task = studio.add_task(link.number, picture(17))
    studio.annotate(task, [brush(blob(), "Duck"), brush(blob(x=6), "Duck")])
    assert pull(link, task)["unknown_labels"] == {"Duck": 2}
    assert not Annotation.objects.exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"original_width": 4000, "original_height": 4000}, "size is not the image's"),
        ({"image_rotation": 90}, "rotated"),
        ({"value": {"rle": [255] * 40, "brushlabels": ["Chicken"]}}, "another image's size"),
        ({"type": "brush"}, "no label"),
    ],
    ids=["size", "rotated", "hostile", "unlabelled"],
)
def test_mask_that_does_not_fit_is_told_and_never_becomes_an_answer(link, studio, change, why):
    task = studio.add_task(link.number, picture(18))
    studio.annotate(task, [brush(blob()) | change])
    assert why in pull(link, task)["left"][0]["why"]
    assert not Annotation.objects.exists()


def test_exif_turned_photo_is_met_in_the_size_that_a_browser_shows(link, studio):
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # turned by a quarter: 12 x 20 on disk, 20 x 12 on screen
    task = studio.add_task(link.number, factories.image_bytes(20, 12, kind="JPEG", exif=exif), name="phone.jpg")
    mask = np.zeros((20, 12), dtype=bool)
    mask[15:, :4] = True
    studio.annotate(task, [brush(mask)])
    pull(link, task)
    assert (decoded(Annotation.objects.get())[0] == mask).all()


def test_one_broken_task_does_not_stop_the_others(link, studio):
    gone, elsewhere, text, good = (studio.add_task(link.number, picture(19)) for _ in range(4))
    del studio.files[studio.tasks[gone]["data"]["image"]]
    studio.tasks[elsewhere]["data"]["image"] = "http://127.0.0.1:9/a.png"
    studio.files[studio.tasks[text]["data"]["image"]] = b"<html>log in</html>"
    for task in (gone, elsewhere, text, good):
        studio.annotate(task, [brush(blob())])
    report = pull(link)
    assert [row["task"] for row in report["left"]] == [gone, elsewhere, text]
    assert "404" in report["left"][0]["why"]
    assert "neither Label Studio's host" in report["left"][1]["why"]
    assert (report["added"], report["tasks"]) == (1, 4)


def test_token_is_sent_to_label_studio_alone(link, studio, settings):
    """Another server that is allowed gets the request, but not the token: this one answers 401 to it."""
    with running_stand_in() as other:
        task = studio.add_task(link.number, None)
        studio.tasks[task]["data"]["image"] = f"{other.url}/a.png"
        settings.LABEL_STUDIO_HOSTS = frozenset({other.url.removeprefix("http://")})
        studio.annotate(task, [brush(blob())])
        pull(link, task)
        assert other.asked == [("/a.png", "")]


def test_deleted_task_withdraws_its_answers_at_the_next_full_pull(link, studio):
    first, second = studio.add_task(link.number, picture(20)), studio.add_task(link.number, picture(21))
    for task in (first, second):
        studio.annotate(task, [brush(blob())])
    pull(link)
    del studio.tasks[first]
    assert pull(link)["withdrawn"] == 1
    del studio.tasks[second]
    assert pull(link)["withdrawn"] == 1


def test_task_of_another_project_is_never_read(link, studio):
    task = studio.add_task(studio.add_project(), picture(22))
    studio.annotate(task, [brush(blob())])
    pull(link, task)
    assert not Annotation.objects.exists()


def test_pull_goes_on_where_it_was_cut_off(link, studio, monkeypatch):
    monkeypatch.setattr("annotator.label_studio.client.PAGE_TASKS", 2)
    for seed in range(23, 28):
        studio.annotate(studio.add_task(link.number, picture(seed)), [brush(blob())])
    numbers = [number for number, row in studio.tasks.items() if row["project"] == link.number]
    pull_request_add(link=link, numbers=[0])
    LabelStudioBell.objects.update(after=numbers[1])
    job = Job.objects.create(project=link.project, kind=Job.Kind.LABEL_STUDIO, report={"tasks": 2, "added": 2})
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.report["tasks"], job.report["added"], Annotation.objects.count()) == (5, 5, 3)


def test_label_studio_that_is_away_fails_the_job_and_the_bell_stays(link, studio):
    pull_request_add(link=link, numbers=[7])
    studio.failing = 503
    job = Job.objects.create(project=link.project, kind=Job.Kind.LABEL_STUDIO)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert "503" in job.reason
    assert link.bells.count() == 1
