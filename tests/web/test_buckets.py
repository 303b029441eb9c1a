"""Buckets as a source and as the image store, against a real S3 server over HTTP."""

import hashlib
import io
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command
from django.urls import reverse

from annotator.common.errors import ImportRefusedError, RoostError
from annotator.data import buckets
from annotator.data.buckets import BucketError
from annotator.data.image_files import image_file, image_path, images_fetch
from annotator.data.image_store import image_add
from annotator.data.imports import import_start
from annotator.data.sources import source_opened
from annotator.jobs.runner import job_run
from annotator.models import Image, Job, Pair
from annotator.operations.doctor import diagnose
from annotator.registry.training_runs import retrain_start
from tests import factories
from tests.s3_server import s3_server

pytestmark = pytest.mark.django_db(transaction=True)


def _read(source, name: str) -> bytes:
    with source.open(name) as stream:
        return b"".join(iter(lambda: stream.read(7), b""))


def test_source_is_what_lies_below_the_prefix_and_nothing_beside_it(s3):
    objects = {"a/one.png": b"one", "a/deep/two.png": b"two twice", "a-b/three.png": b"3", "top.png": b"4", "a/": b""}
    s3.bucket("prefixes", objects)
    with source_opened("s3://prefixes/a") as source:
        assert source.names == ["deep/two.png", "one.png"]
        assert _read(source, "deep/two.png") == b"two twice"
    with source_opened("s3://prefixes") as source:
        assert source.names == ["a-b/three.png", "a/deep/two.png", "a/one.png", "top.png"]


def test_more_objects_than_one_page_of_a_listing_are_all_there(s3):
    s3.bucket("many")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: s3.client.put_object(Bucket="many", Key=f"{number}.png", Body=b""), range(1005)))
    with source_opened("s3://many/") as source:
        assert len(source.names) == 1005


def test_object_that_is_deleted_meanwhile_is_one_refused_file(s3):
    s3.bucket("shrinking", {"gone.png": b"x", "left.png": b"y"})
    with source_opened("s3://shrinking") as source:
        s3.client.delete_object(Bucket="shrinking", Key="gone.png")
        with pytest.raises(ImportRefusedError, match="any more"):
            source.open("gone.png")
        assert _read(source, "left.png") == b"y"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://no-such-bucket/x", "no bucket 'no-such-bucket'"),
        ("s3://", "names no bucket"),
        ("s3://never_A_name/x", "S3 server"),
    ],
)
def test_wrong_bucket_is_named(s3, url, words):
    with pytest.raises(BucketError, match=words), source_opened(url):
        pass


def test_empty_prefix_is_told_instead_of_an_empty_import(s3):
    s3.bucket("hollow", {"elsewhere/a.png": b"x"})
    with pytest.raises(ImportRefusedError, match="nothing in s3://hollow/typo/"), source_opened("s3://hollow/typo"):
        pass


def test_unknown_key_is_told(s3):
    s3.bucket("guarded", {"a.png": b"x"})
    s3.ask_for_credentials(0)
    try:
        with pytest.raises(BucketError, match="access key"), source_opened("s3://guarded"):
            pass
    finally:
        s3.ask_for_credentials(float("inf"))


def test_absent_credentials_are_told(s3, monkeypatch, tmp_path):
    s3.bucket("nameless", {"a.png": b"x"})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(BucketError, match="AWS_ACCESS_KEY_ID"), source_opened("s3://nameless"):
        pass


def test_absent_package_says_what_to_install(s3, monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    with pytest.raises(BucketError, match=r"requirements-scale\.txt"), source_opened("s3://any"):
        pass


@pytest.fixture
def pictures() -> dict[str, bytes]:
    return {f"barn/{number}.png": factories.image_bytes() for number in range(3)}


def _imported(barn, **options) -> Job:
    job = import_start(project=barn.project, user=barn.admin, **options)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    return job


def test_import_from_a_bucket_takes_all_images_in_and_leaves_the_bucket_as_it_was(barn, s3, pictures):
    s3.bucket("barn-import", pictures)
    job = _imported(barn, upload_path="s3://barn-import/barn")
    assert (job.state, job.report["images_added"]) == ("succeeded", 3), job.reason
    assert {image.source for image in Image.objects.all()} == {"barn"}
    assert s3.objects("barn-import") == pictures


def test_import_command_takes_a_bucket(barn, s3, pictures):
    s3.bucket("barn-command", pictures)
    told = io.StringIO()
    call_command("import_images", "barn", "s3://barn-command/barn", "--here", stdout=told, stderr=told)
    assert "images_added: 3" in told.getvalue()


@pytest.fixture
def dying(s3, settings, monkeypatch, pictures):
    """A server of this test's own, which may be stopped."""
    monkeypatch.setattr(buckets, "ATTEMPTS", 1)
    with s3_server() as server:
        settings.S3_ENDPOINT = server.url
        server.bucket("dying", pictures)
        yield server


def test_server_that_goes_half_way_is_to_blame_and_no_image(dying):
    with source_opened("s3://dying") as source:
        assert _read(source, "barn/0.png")
        dying.stop()
        with pytest.raises(BucketError, match=dying.url):
            source.open("barn/1.png")


def test_import_from_a_server_that_is_gone_fails_with_the_reason(barn, dying):
    dying.stop()
    job = _imported(barn, upload_path="s3://dying")
    assert job.state == "failed"
    assert dying.url in job.reason
    assert not Image.objects.exists()


@pytest.fixture
def store(s3, settings, request):
    """An image store in a bucket of this test's own; `store()` is what lies in it."""
    name = f"store-{hashlib.sha1(request.node.name.encode()).hexdigest()[:12]}"
    s3.bucket(name)
    settings.IMAGES_BUCKET = f"s3://{name}/roost/images"
    return lambda: s3.objects(name)


def _added(barn, data: bytes) -> Image:
    image, _ = image_add(project=barn.project, stream=io.BytesIO(data), name="a.png")
    return image


def test_new_image_lies_in_the_folder_and_in_the_bucket_under_the_same_name(barn, store):
    data = factories.image_bytes()
    sha256 = _added(barn, data).sha256
    assert store() == {f"roost/images/{sha256[:2]}/{sha256}": data}
    assert image_path(sha256).read_bytes() == data


def test_no_row_without_a_stored_object(barn, s3, settings):
    settings.IMAGES_BUCKET = "s3://nobody-made-this-bucket"
    with pytest.raises(BucketError, match="nobody-made-this-bucket"):
        _added(barn, factories.image_bytes())
    assert not Image.objects.exists()


def test_image_that_another_machine_imported_is_fetched_and_kept(barn, store, signed_in):
    data = factories.image_bytes()
    image = _added(barn, data)
    shutil.rmtree(image_path(image.sha256).parent)
    address = reverse("media", args=[barn.project.slug, image.sha256])
    assert b"".join(signed_in(barn.annotator).get(address).streaming_content) == data
    assert image_path(image.sha256).read_bytes() == data


def test_object_with_other_bytes_than_its_name_is_refused_and_not_kept(barn, store, s3, settings, signed_in):
    image = _added(barn, factories.image_bytes())
    image_path(image.sha256).unlink()
    [key] = store()
    s3.client.put_object(Bucket=settings.IMAGES_BUCKET.split("/")[2], Key=key, Body=b"something else")
    answer = signed_in(barn.annotator).get(reverse("media", args=[barn.project.slug, image.sha256]))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bucket_unavailable")
    assert not image_path(image.sha256).exists()


def test_image_that_nobody_has_is_404(barn, store, signed_in):
    image = factories.make_image(barn.project)
    image_path(image.sha256).unlink()
    assert signed_in(barn.annotator).get(reverse("media", args=[barn.project.slug, image.sha256])).status_code == 404
    with pytest.raises(FileNotFoundError):
        image_file(image.sha256)


def test_import_completes_a_bucket_that_lacks_what_the_folder_has(barn, store, settings):
    bucket, settings.IMAGES_BUCKET = settings.IMAGES_BUCKET, ""
    data = factories.image_bytes()
    sha256 = _added(barn, data).sha256
    settings.IMAGES_BUCKET = bucket
    _added(barn, data)
    assert list(store()) == [f"roost/images/{sha256[:2]}/{sha256}"]


def test_retrain_fetches_its_snapshot_s_images_before_the_trainer_begins(barn, store, settings):
    settings.TRAINER_COMMAND = ["false"]  # the trainer itself is not asked here
    present = {"truth": "present", "instances": [factories.make_instance(factories.box_rle())]}
    hashes = []
    for split in ("train", "val", "holdout"):
        for known in (present, {"truth": "absent"}):
            stream = io.BytesIO(factories.image_bytes())
            image, _ = image_add(project=barn.project, stream=stream, name="a.png", split=split)
            Pair.objects.filter(image=image).update(**known)
            hashes.append(image.sha256)
    job = retrain_start(project=barn.project, user=barn.admin)
    for sha256 in hashes:
        image_path(sha256).unlink()
    job_run(job_id=job.pk)
    assert all(image_path(sha256).exists() for sha256 in hashes)


def test_training_gets_what_only_the_bucket_has(barn, store):
    there, here = _added(barn, factories.image_bytes()), _added(barn, factories.image_bytes())
    image_path(there.sha256).unlink()
    told = []
    images_fetch(sha256s=[there.sha256, here.sha256], on_progress=lambda done, of: told.append((done, of)))
    assert image_path(there.sha256).exists()
    assert told == [(0, 1)]


def test_image_that_is_gone_everywhere_stops_the_training_in_words(barn, store):
    with pytest.raises(RoostError, match="is gone; bring it back"):
        images_fetch(sha256s=["0" * 64], on_progress=lambda done, of: None)


def test_doctor_tells_of_a_bucket_that_does_not_answer(s3, settings):
    settings.IMAGES_BUCKET = "s3://doctors-typo/images"
    [finding] = [one for one in diagnose(running=False) if one.name == "image bucket"]
    assert (finding.good, "doctors-typo" in finding.words) == (False, True)
    s3.bucket("doctors-typo")
    [finding] = [one for one in diagnose(running=False) if one.name == "image bucket"]
    assert finding.good is True
