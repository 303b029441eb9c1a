"""Predictions as jobs: who may name which source, what comes out, and what a stopped job leaves."""

import io
import json
import os
import shutil
import time
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from annotator.common.errors import RoostError
from annotator.data.named_sources import source_allowed
from annotator.jobs.runner import job_run
from annotator.models import Image, Job
from annotator.predict import predictions
from annotator.predict.services import predict_start
from tests import factories
from tests.backend_door import backend_door

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "/api/v1/projects/barn/predict"


@pytest.fixture
def opened(tmp_path, settings):
    """A folder that the server's owner has opened, with three pictures; and one beside it that stays closed."""
    from tests.backend.support import noisy_picture, png_bytes

    for name in ("open/farm", "closed"):
        (tmp_path / name).mkdir(parents=True)
    for seed in range(3):
        (tmp_path / "open/farm" / f"{seed}.png").write_bytes(png_bytes(noisy_picture(300 + seed)))
    settings.SOURCES = [str(tmp_path / "open")]
    return tmp_path / "open"


def _ran(job: Job) -> Job:
    job_run(job_id=job.pk)
    job.refresh_from_db()
    return job


def _zipped(answer) -> dict[str, object]:
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def test_folder_named_over_the_api_comes_back_as_a_zip_that_any_member_may_fetch(tiny_barn, api, opened):
    body = {"source": str(opened / "farm"), "threshold": 0.0}
    answer = api(tiny_barn.admin).post(ADDRESS, body, format="json")
    assert (answer.status_code, answer.json()["kind"]) == (202, "predict")
    job = _ran(Job.objects.get(pk=answer.json()["id"]))
    assert job.state == "succeeded", job.reason
    files = _zipped(api(tiny_barn.annotator).get(f"/api/v1/jobs/{job.pk}/file"))
    assert set(files) == {"pairs.json", "predictions.json", "manifest.json"}
    assert [pair["file_name"] for pair in files["pairs.json"]["images"]] == ["0.png", "1.png", "2.png"]
    assert files["manifest.json"]["counts"] == job.report["counts"]
    assert not Image.objects.exists()


def test_version_and_concepts_may_be_chosen(tiny_barn, api, opened):
    other = factories.make_version("other")
    body = {"source": str(opened / "farm"), "version": other.name, "concepts": ["duck", " feeder "]}
    job = _ran(Job.objects.get(pk=api(tiny_barn.admin).post(ADDRESS, body, format="json").json()["id"]))
    assert (job.report["model_version"], job.report["concepts"]) == ("other", ["duck", "feeder"])


def test_uploaded_zip_is_predicted_on_and_deleted(tiny_barn, signed_in, opened, settings, tmp_path):
    settings.UPLOADS_DIR = tmp_path / "uploads"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(opened / "farm" / "0.png", "0.png")
        archive.writestr("broken.jpg", b"no picture")
    form = {"upload": SimpleUploadedFile("farm.zip", packed.getvalue()), "concepts": "", "threshold": "0.5"}
    page = signed_in(tiny_barn.admin).post(reverse("predictions", args=["barn"]), form)
    job = _ran(Job.objects.get(kind=Job.Kind.PREDICT))
    assert page["Location"] == reverse("job", args=["barn", job.pk])
    assert (job.report["source"], job.report["counts"]["images"]) == ("farm.zip", 2)
    assert [row["file"] for row in job.report["refused"]] == ["broken.jpg"]
    assert list(settings.UPLOADS_DIR.iterdir()) == []


def test_zip_that_is_too_large_is_refused_and_not_kept(barn, signed_in, settings, tmp_path):
    settings.UPLOADS_DIR, settings.MAX_UPLOAD_BYTES = tmp_path / "uploads", 10
    form = {"upload": SimpleUploadedFile("farm.zip", b"x" * 11), "threshold": "0.5"}
    answer = signed_in(barn.admin).post(reverse("predictions", args=["barn"]), form)
    assert (answer.status_code, "at once" in answer.content.decode()) == (400, True)
    assert not Job.objects.exists()
    assert not settings.UPLOADS_DIR.exists()


def test_uploaded_zip_over_the_api(tiny_barn, api, opened):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(opened / "farm" / "0.png", "0.png")
    body = {"upload": SimpleUploadedFile("farm.zip", packed.getvalue()), "concepts": ["duck", "chicken"]}
    job = _ran(Job.objects.get(pk=api(tiny_barn.admin).post(ADDRESS, body, format="multipart").json()["id"]))
    assert (job.report["counts"]["pairs"], job.report["concepts"]) == (2, ["duck", "chicken"])


def test_bucket_that_is_open_is_read(tiny_barn, api, s3, settings, opened):
    s3.bucket("shared-farm", {"2026/0.png": (opened / "farm" / "0.png").read_bytes()})
    settings.BUCKETS = ["shared-farm/2026"]
    answer = api(tiny_barn.admin).post(ADDRESS, {"source": "s3://shared-farm/2026"}, format="json")
    assert _ran(Job.objects.get(pk=answer.json()["id"])).report["counts"]["images"] == 1


def test_nothing_is_open_by_default_and_the_refusal_says_how_to_open(barn, api, settings):
    settings.SOURCES, settings.BUCKETS = [], []
    for source, variable in (("/etc", "ROOST_SOURCES"), ("s3://any/where", "ROOST_BUCKETS")):
        answer = api(barn.admin).post(ADDRESS, {"source": source}, format="json")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "source_refused")
        assert variable in answer.json()["error"]["message"]
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "path",
    [
        *("{root}/../closed", "{root}/link", "{root}/link/deeper", "{root}-beside", "farm", "~/farm", "/", "//etc"),
        *("{root}/\0", "{root}/loop/x", "file://{root}/farm", "{root}/" + "a" * 5000),
    ],
)
def test_folder_outside_of_what_is_open_is_refused_whatever_it_is_called(opened, path):
    (opened / "link").symlink_to(opened.parent / "closed")
    (opened / "loop").symlink_to(opened / "loop")
    opened.with_name("open-beside").mkdir()
    with pytest.raises(RoostError) as caught:
        source_allowed(path.format(root=opened))
    assert caught.value.code == "source_refused"


def test_whether_a_closed_folder_exists_is_not_told(opened):
    told = set()
    for name in ("closed", "no-such"):
        with pytest.raises(RoostError) as caught:
            source_allowed(str(opened.parent / name))
        told.add(str(caught.value))
    assert len(told) == 1


@pytest.mark.parametrize(
    "url", ["s3://barn", "s3://barn/2025", "s3://barn/2026-private", "s3://barnyard/2026", "s3:///2026"]
)
def test_bucket_outside_of_what_is_open_is_refused(settings, url):
    settings.BUCKETS = ["barn/2026"]
    with pytest.raises(RoostError) as caught:
        source_allowed(url)
    assert caught.value.code == "source_refused"


def test_folder_that_becomes_a_link_before_the_job_runs_is_refused_then(tiny_barn, opened):
    job = predict_start(project=tiny_barn.project, user=tiny_barn.admin, source=str(opened / "farm"))
    os.rename(opened / "farm", opened / "was")
    (opened / "farm").symlink_to(opened.parent / "closed")
    assert "Only folders below" in _ran(job).reason


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"threshold": 2}, "threshold"),
        ({"threshold": "half"}, "threshold"),
        ({"concepts": ["x" * 81]}, "concepts"),
        ({"concepts": ["  "]}, "concepts"),
        ({"version": "../../etc"}, "version"),
    ],
)
def test_wrong_wish_is_refused_with_the_fields_name(barn, api, opened, body, field):
    answer = api(barn.admin).post(ADDRESS, {"source": str(opened / "farm"), **body}, format="json")
    assert answer.status_code == 400
    assert field in str(answer.json()["error"]["fields"])
    assert not Job.objects.exists()


def test_folder_and_zip_at_once_or_neither_is_refused(barn, api, opened):
    both = {"source": str(opened / "farm"), "upload": SimpleUploadedFile("a.zip", b"PK")}
    assert api(barn.admin).post(ADDRESS, both, format="multipart").status_code == 400
    assert api(barn.admin).post(ADDRESS, {}, format="json").status_code == 400


@pytest.fixture
def one_a_call(monkeypatch):
    monkeypatch.setattr(predictions, "IMAGES_A_CALL", 1)
    monkeypatch.setattr(predictions, "CALLS_AT_ONCE", 1)


def _half(settings) -> list:
    return list((settings.VAR_DIR / "predictions").glob("*/.journal.jsonl"))


def test_job_that_failed_half_way_is_gone_on_with_by_the_next_of_the_same_request(
    tiny_barn, opened, settings, backend, one_a_call
):
    request = {"project": tiny_barn.project, "user": tiny_barn.admin, "source": str(opened / "farm")}
    with backend_door(backend.base_url, status=lambda call: 200 if call < 3 else 500) as door:
        settings.MLBACKEND_URL = door.url
        failed = _ran(predict_start(**request))
    assert (failed.state, "Broken" in failed.reason, len(_half(settings))) == ("failed", True, 1)
    with backend_door(backend.base_url) as door:
        settings.MLBACKEND_URL = door.url
        job = _ran(predict_start(**request))
    assert (job.state, job.report["counts"]["images"], len(door.calls)) == ("succeeded", 3, 1)
    assert _half(settings) == []


def test_half_that_nobody_has_asked_for_again_within_a_week_goes(tiny_barn, opened, settings):
    for name, days in (("old", 8), ("young", 6)):
        journal = settings.VAR_DIR / "predictions" / name / ".journal.jsonl"
        journal.parent.mkdir(parents=True)
        journal.write_text("{}")
        os.utime(journal, (time.time() - days * 86400,) * 2)
    _ran(predict_start(project=tiny_barn.project, user=tiny_barn.admin, source=str(opened / "farm")))
    assert [path.parent.name for path in _half(settings)] == ["young"]
    shutil.rmtree(settings.VAR_DIR / "predictions")


def test_cancelled_job_stops_soon_and_leaves_no_half_behind(tiny_barn, opened, settings, backend, one_a_call):
    settings.JOB_LEASE_SECONDS = 1
    job = predict_start(project=tiny_barn.project, user=tiny_barn.admin, source=str(opened / "farm"))
    Job.objects.filter(pk=job.pk).update(cancel_requested=True)
    with backend_door(backend.base_url, wait_seconds=2) as door:
        settings.MLBACKEND_URL = door.url
        assert _ran(job).state == "cancelled"
    assert len(door.calls) < 3
    assert _half(settings) == []


def test_page_offers_what_is_open_and_the_files_that_were_made(barn, signed_in, opened, settings):
    settings.EXPORTS_DIR.mkdir(parents=True, exist_ok=True)
    report = {"file": "barn-9-predictions.zip", "bytes": 12, "counts": {"images": 4321, "instances": 7}}
    params = {"named": "/data/farm", "version": "demo"}
    job = factories.make_job(barn.project, kind=Job.Kind.PREDICT, state="succeeded", report=report, params=params)
    address = reverse("predictions", args=["barn"])
    admin, member = (signed_in(one).get(address).content.decode() for one in (barn.admin, barn.annotator))
    assert str(opened) in admin
    assert "4,321" in member
    assert reverse("prediction-download", args=["barn", job.pk]) in member
    assert "ask-title" in admin
    assert "ask-title" not in member


def test_import_form_takes_an_opened_folder_and_no_other(barn, signed_in, opened):
    address, client = reverse("images", args=["barn"]), signed_in(barn.admin)
    refused = client.post(address, {"kind": "images", "place": "/etc"})
    assert (refused.status_code, Job.objects.count()) == (400, 0)
    assert "Only folders below" in refused.content.decode()
    client.post(address, {"kind": "images", "place": str(opened / "farm")})
    job = _ran(Job.objects.get())
    assert (job.state, job.report["images_added"]) == ("succeeded", 3), job.reason
    assert {image.source for image in Image.objects.all()} == {"farm"}
    assert (opened / "farm" / "0.png").exists()


def test_import_form_takes_files_or_a_place_and_not_both(barn, signed_in, opened):
    form = {"kind": "images", "place": str(opened), "files": SimpleUploadedFile("a.png", factories.image_bytes())}
    answer = signed_in(barn.admin).post(reverse("images", args=["barn"]), form)
    assert (answer.status_code, Job.objects.count()) == (400, 0)
    assert "not both" in answer.content.decode()
