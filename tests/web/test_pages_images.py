"""The images' page: a page at a time, filters, and the import form."""

import io
import zipfile
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotator.models import Image, Job
from annotator.selectors.images_page import PAGE, ImageFilter, images_page
from annotator.uploads import upload_keep
from tests import factories


def found(barn, **wanted) -> list[str]:
    rows, _ = images_page(project=barn.project, wanted=ImageFilter(**wanted))
    return [row.original_name for row in rows]


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
    first, more = images_page(project=barn.project, wanted=ImageFilter())
    second, end = images_page(project=barn.project, wanted=ImageFilter(before=more))
    assert (len(first), len(second), end) == (PAGE, 5, None)
    assert len({row.pk for row in [*first, *second]}) == PAGE + 5


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
    for name, words in (("hen", "present, every"), ("duck", "verified absent"), ("egg", "not looked at")):
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
    answer = send(
        signed_in(barn.admin), kind="coco", files=zipped("fuse.zip"), split="val", exhaustive="on", holdout_share="0.1"
    )
    job = barn.project.jobs.get()
    assert answer["Location"] == reverse("job", args=["barn", job.pk])
    path = Path(job.params.pop("path"))
    assert zipfile.is_zipfile(path)
    assert job.params == {
        "kind": "coco",
        "split": "val",
        "source": "fuse",
        "exhaustive": True,
        "create_concepts": False,
        "holdout_share": 0.1,
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
        ({}, "Choose at least one file."),
        ({"files": [zipped(), png()]}, "Send one zip by itself"),
        ({"kind": "coco", "files": [png()]}, "An export comes as one zip"),
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
