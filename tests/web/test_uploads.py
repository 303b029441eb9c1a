"""What the browser sent: called by its own name, kept while it may be imported, and gone in the end."""

import io
import os
import time
import zipfile
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from annotator.common.errors import RoostError
from annotator.data.imports import import_after_look, import_start
from annotator.data.uploads import KEPT, upload_keep, uploads_expire
from annotator.jobs.runner import job_run
from annotator.models import Image, Job
from annotator.operations.doctor import diagnose
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
DAY_SECONDS = 86400


@pytest.fixture(autouse=True)
def uploads_of_its_own(settings, tmp_path) -> None:
    settings.UPLOADS_DIR = tmp_path / "uploads"


def sent(name: str, content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def zipped(names: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return packed.getvalue()


def run(barn, where, **options) -> Job:
    job = import_start(project=barn.project, user=barn.admin, upload_path=where, **options)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    return job


def aged(where: Path, uploads: Path, days: float) -> Path:
    entry = uploads / where.relative_to(uploads).parts[0]
    then = time.time() - days * DAY_SECONDS
    os.utime(entry, (then, then))
    return entry


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("holiday.zip", b"this is text", "holiday.zip is no zip file that can be read"),
        ("hens.zip", zipped({}), "There is no image in hens.zip."),
        ("notes.txt", b"hello", "There is no image in what was sent. notes.txt: It is not named like an image"),
    ],
)
def test_refusal_calls_what_was_sent_by_its_own_name(barn, settings, name, content, reason):
    job = run(barn, upload_keep([sent(name, content)]))
    assert (job.state, job.reason[: len(reason)]) == ("failed", reason)
    assert list(settings.UPLOADS_DIR.iterdir()) == []


def test_empty_file_among_good_ones_is_refused_by_name_and_the_others_come_in(barn, signed_in):
    files = [sent("hen.png", factories.image_bytes()), sent("empty.png", b"")]
    signed_in(barn.admin).post(reverse("images", args=["barn"]), {"kind": "auto", "files": files, "holdout_share": 0})
    job = Job.objects.get()
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert [(row["file"], row["why"]) for row in job.report["problems"]] == [("empty.png", "The file is empty.")]
    assert [image.original_name for image in Image.objects.all()] == ["hen.png"]


@pytest.mark.parametrize("name", ["hens.zip", "hen.png"])
def test_nothing_of_an_upload_stays_once_it_is_imported(barn, settings, name):
    content = zipped({"hen.png": factories.image_bytes()}) if name.endswith(".zip") else factories.image_bytes()
    assert run(barn, upload_keep([sent(name, content)])).report["images_added"] == 1
    assert list(settings.UPLOADS_DIR.iterdir()) == []


def test_upload_that_was_looked_at_goes_after_its_time_and_not_before(barn, settings):
    where = upload_keep([sent("hen.png", factories.image_bytes())])
    looked = run(barn, where, dry_run=True)
    entry = aged(where, settings.UPLOADS_DIR, KEPT.days - 0.1)
    assert (uploads_expire(), entry.exists()) == (0, True)
    aged(where, settings.UPLOADS_DIR, KEPT.days + 0.1)
    assert (uploads_expire(), entry.exists()) == (1, False)
    with pytest.raises(RoostError, match="Send it again"):
        import_after_look(looked=looked, user=barn.admin, classes={})


def test_upload_that_a_job_waits_for_is_kept_whatever_its_age(barn, settings):
    where = upload_keep([sent("hens.zip", zipped({"hen.png": factories.image_bytes()}))])
    import_start(project=barn.project, user=barn.admin, upload_path=where)
    aged(where, settings.UPLOADS_DIR, 90)
    assert (uploads_expire(), where.exists()) == (0, True)


def test_import_after_a_look_is_told_on_the_look_and_can_not_be_had_twice(barn, signed_in):
    looked = run(barn, upload_keep([sent("hen.png", factories.image_bytes())]), dry_run=True)
    client, page = signed_in(barn.admin), reverse("job", args=["barn", looked.pk])
    assert "Nothing is stored yet" in client.get(page).content.decode()
    job = import_after_look(looked=looked, user=barn.admin, classes={})
    assert f"import {job.pk}" in client.get(page).content.decode()
    job_run(job_id=job.pk)
    again = client.post(reverse("import-go", args=["barn", looked.pk]), follow=True)
    assert "Send it again" in again.content.decode()
    assert Job.objects.count() == 2


def test_look_is_not_called_the_last_import(barn, signed_in):
    run(barn, upload_keep([sent("hen.png", factories.image_bytes())]), dry_run=True)
    words = " ".join(signed_in(barn.admin).get(reverse("images", args=["barn"])).content.decode().split())
    assert "Last look, which stored nothing" in words
    assert "Last import" not in words


def test_folder_that_somebody_named_is_never_swept(barn, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "hen.png").write_bytes(factories.image_bytes())
    os.utime(folder, (0, 0))
    run(barn, folder)
    uploads_expire()
    assert (folder / "hen.png").exists()


def test_doctor_tells_of_uploads_that_nobody_imported(barn, settings):
    where = upload_keep([sent("hen.png", factories.image_bytes())])
    run(barn, where, dry_run=True)
    aged(where, settings.UPLOADS_DIR, 2)
    [finding] = [one for one in diagnose(running=False) if one.name == "uploads"]
    assert finding.words == "1 looked at and not imported, the oldest 2.0 days old; a worker removes them after 7 days"
