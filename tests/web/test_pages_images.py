"""The images' page: a page at a time, filters, and the import form."""

import io
import zipfile
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotator.data.image_filter import ImageFilter
from annotator.data.image_page import image_known
from annotator.data.images_page import PAGE, images_page
from annotator.data.uploads import upload_keep
from annotator.models import Image, Job, Project, Review, Task
from tests import factories


def found(barn, **wanted) -> list[str]:
    found = images_page(project=barn.project, wanted=ImageFilter(**wanted), user=barn.admin)
    return [row.original_name for row in found.images]


def png(name: str = "hen.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, factories.image_bytes(), "image/png")


def zipped(name: str = "barn.zip") -> SimpleUploadedFile:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hen.png", factories.image_bytes())
    return SimpleUploadedFile(name, buffer.getvalue(), "application/zip")


def send(browser, **form):
    return browser.post(reverse("images", args=["barn"]), {"kind": "images", **form})


def test_newest_images_come_first(barn):
    for name in ("old", "new"):
        factories.make_image(barn.project, original_name=name)
    assert found(barn) == ["new", "old"]


def test_pages_of_images_hold_every_image_once(barn):
    rows = [
        Image(project=barn.project, sha256=f"{n:064d}", width=1, height=1, bytes=1, original_name=str(n))
        for n in range(PAGE + 5)
    ]
    Image.objects.bulk_create(rows)
    first = images_page(project=barn.project, wanted=ImageFilter(), user=barn.admin)
    second = images_page(project=barn.project, wanted=ImageFilter(before=first.more), user=barn.admin)
    assert (len(first.images), len(second.images), second.more) == (PAGE, 5, None)
    assert len({row.pk for row in [*first.images, *second.images]}) == PAGE + 5


def test_filters_find_by_split_source_and_truth(barn):
    factories.make_image(barn.project, original_name="held out", split="holdout", source="barn 3")
    there = factories.make_image(barn.project, original_name="there")
    factories.make_pair(barn.project, image=there, truth="present")
    assert found(barn, split="holdout") == ["held out"]
    assert found(barn, source="barn 3") == ["held out"]
    assert found(barn, truth="present") == ["there"]
    assert found(barn, truth="absent") == []
    assert found(barn, concept=barn.chicken.pk) == ["there"]


def test_page_tells_the_three_truths_apart(barn, signed_in):
    image = factories.make_image(barn.project)
    for name, truth in (("hen", "present"), ("duck", "absent"), ("egg", "unseen")):
        factories.make_pair(barn.project, factories.make_concept(barn.project, name), image, truth=truth)
    page = signed_in(barn.annotator).get(reverse("images", args=["barn"])).content.decode()
    for name, words in (("hen", "present"), ("duck", "verified absent"), ("egg", "not looked at")):
        assert f'title="{name}: {words}' in page


def test_queries_do_not_grow_with_the_images(barn, signed_in):
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            signed_in(barn.admin).get(reverse("images", args=["barn"]))
        return len(queries)

    factories.make_pair(barn.project)
    few = count()
    for _ in range(9):
        factories.make_pair(barn.project)
    assert count() == few


def test_zip_becomes_an_import_job_with_the_chosen_options(barn, signed_in):
    choices = {"kind": "coco", "split": "val", "vouch": "exhaustive", "holdout_share": "0.1"}
    answer = send(signed_in(barn.admin), files=zipped("fuse.zip"), **choices)
    job = barn.project.jobs.get()
    assert answer["Location"] == reverse("job", args=["barn", job.pk])
    path = Path(job.params.pop("path"))
    assert zipfile.is_zipfile(path)
    assert job.params == {
        "kind": "coco",
        "split": "val",
        "source": "fuse",
        "complete": True,
        "exhaustive": True,
        "negative_of": [],
        "negatives": {},
        "create_concepts": False,
        "classes": {},
        "dry_run": False,
        "boxes": "sketch",
        "holdout_share": 0.1,
        "shares": "85/15",
    }


def test_several_images_lie_in_one_folder_for_the_import(barn, signed_in):
    send(signed_in(barn.admin), files=[png("a.png"), png("b.png")], source="barn 3")
    job = barn.project.jobs.get()
    assert sorted(file.name for file in Path(job.params["path"]).iterdir()) == ["a.png", "b.png"]
    assert (job.params["source"], job.params["split"]) == ("barn 3", None)


def test_two_uploads_of_one_name_are_both_kept(settings, tmp_path):
    settings.UPLOADS_DIR = tmp_path
    folder = upload_keep([png("a.png"), png("a.png")])
    assert len({file.read_bytes() for file in folder.rglob("a.png")}) == 2


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({}, "Choose at least one file"),
        ({"files": [zipped(), png()]}, "Send one zip by itself"),
        ({"kind": "magic", "files": [png()]}, "magic is not one of the available choices"),
        ({"files": [png()], "split": "moon"}, "moon is not one of the available choices"),
        ({"files": [png()], "holdout_share": "1.5"}, "less than or equal to 0.9"),
    ],
)
def test_wrong_upload_starts_nothing_and_says_why(barn, signed_in, settings, tmp_path, form, sentence):
    settings.UPLOADS_DIR = tmp_path
    answer = send(signed_in(barn.admin), **form)
    assert answer.status_code == 400
    assert sentence in answer.content.decode()
    assert not barn.project.jobs.exists()
    assert not list(tmp_path.iterdir())


def test_upload_over_the_limit_is_refused(barn, signed_in, settings):
    settings.MAX_UPLOAD_BYTES = 10
    answer = send(signed_in(barn.admin), files=[png()])
    assert answer.status_code == 400
    assert "in parts" in answer.content.decode()


def test_uploading_script_gets_the_address_to_open(barn, signed_in):
    browser = signed_in(barn.admin)
    answer = browser.post(
        reverse("images", args=["barn"]), {"kind": "images", "files": [png()]}, headers={"HX-Request": "true"}
    )
    job = Job.objects.get()
    assert (answer.status_code, answer["HX-Redirect"]) == (204, reverse("job", args=["barn", job.pk]))


def test_annotators_see_no_import_form(barn, signed_in):
    assert b"data-upload" not in signed_in(barn.annotator).get(reverse("images", args=["barn"])).content


@pytest.fixture
def marked(barn):
    """A pair with one mask, answered and approved by somebody else than the barn's annotator."""
    pair = factories.make_pair(barn.project, truth="present")
    other = factories.make_member(barn.project)
    annotation = factories.make_annotation(factories.make_task(barn.project, pair), other)
    Review.objects.create(annotation=annotation, reviewer=barn.reviewer, decision="approve", comment="Well seen")
    Task.objects.update(state=Task.State.APPROVED)
    return pair


def address_of(image) -> str:
    return reverse("image", args=["barn", image.sha256])


def known_of(pair, user):
    [known] = image_known(image=pair.image, project=pair.project, user=user)
    return known


def told(known) -> list[str]:
    return [event.words for event in known.history]


def test_image_page_shows_masks_who_settled_them_and_the_history(barn, marked, signed_in):
    page = signed_in(barn.reviewer).get(reverse("image", args=["barn", marked.image.sha256])).content.decode()
    known = known_of(marked, barn.reviewer)
    assert (known.truth, len(known.instances)) == ("present", 1)
    assert known.settled_by == marked.annotations.get().author.username
    assert told(known) == ["Approve: Well seen", "Answered «in the image» with 1 mask", "Queued: presence in the band"]
    assert reverse("review", args=["barn", marked.annotations.get().pk]) in page
    assert "presence 0.50, 1 proposed" in page


def test_annotator_sees_the_truth_but_not_how_others_answered(barn, marked):
    known = known_of(marked, barn.annotator)
    assert (known.truth, known.history) == ("present", [])


@pytest.mark.parametrize("role", ["annotator", "reviewer", "admin"])
def test_truth_and_history_are_kept_back_while_a_known_answer_is_asked_for(barn, marked, role):
    factories.make_task(barn.project, marked, lane=Task.Reason.KNOWN_ANSWER)
    known = known_of(marked, getattr(barn, role))
    assert (known.truth, known.instances, known.settled_by) == ("unseen", [], "")
    assert told(known) == ["Queued: random audit"]


def test_annotator_who_may_be_tested_sees_only_what_they_answered(barn, marked, signed_in):
    Project.objects.update(honeypot_share=0.1)
    marked.project.refresh_from_db()
    own = factories.make_pair(marked.project, truth="absent")
    factories.make_annotation(factories.make_task(marked.project, own), barn.annotator, "absent")
    assert known_of(marked, barn.annotator).truth == "unseen"
    assert known_of(own, barn.annotator).truth == "absent"
    assert known_of(marked, barn.reviewer).truth == "present"
    found = signed_in(barn.annotator).get(reverse("images", args=["barn"]), {"truth": "present"})
    assert marked.image.original_name not in found.content.decode()


def test_answer_of_a_double_is_kept_back_until_the_other_is_in(barn):
    Project.objects.update(double_share=1.0)
    first = factories.make_task(barn.project)
    answer = factories.make_annotation(first, barn.annotator)
    second = factories.make_task(barn.project, first.pair, blind=1, twin_of=first)
    assert told(known_of(first.pair, barn.reviewer)) == ["Queued: presence in the band"]
    assert answer.pk in [event.annotation for event in known_of(first.pair, barn.annotator).history]
    factories.make_annotation(second, barn.admin, "absent")
    assert len(known_of(first.pair, barn.reviewer).history) == 3


def test_what_the_model_sees_in_the_holdout_is_not_shown(barn, signed_in):
    pair = factories.make_pair(barn.project, image=factories.make_image(barn.project, split="holdout"))
    factories.make_prediction(pair)
    known = known_of(pair, barn.admin)
    assert (known.presence, known.predicted) == (None, [])


def test_neighbours_follow_the_list_and_its_filter(barn, signed_in):
    kinds = ("train", "val", "train", "holdout", "train")
    first, _, middle, _, last = (factories.make_image(barn.project, split=split) for split in kinds)
    page = signed_in(barn.annotator).get(address_of(middle), {"split": "train"}).content.decode()
    assert f'data-key="ArrowLeft" aria-keyshortcuts="ArrowLeft" href="{address_of(last)}?split=train"' in page
    assert f'href="{address_of(first)}?split=train"' in page


def test_image_of_another_project_is_unknown(barn, signed_in):
    other = factories.make_image(factories.make_project(name="Other"))
    assert signed_in(barn.admin).get(reverse("image", args=["barn", other.sha256])).status_code == 404
