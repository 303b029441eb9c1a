"""Exports into a bucket, against a real S3 server over HTTP: what arrives, and what a failure half-way leaves."""

import contextlib
import hashlib
import json
import zipfile

import boto3
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from annotator.common.errors import JobCancelled, RoostError
from annotator.data import buckets
from annotator.data.export_targets import target_opened
from annotator.data.exports import FORMATS, export_file, export_start
from annotator.data.imports import import_start
from annotator.jobs.runner import job_run
from annotator.models import Job
from tests import factories
from tests.s3_server import s3_server

pytestmark = pytest.mark.django_db(transaction=True)
PICTURES = 5


@pytest.fixture
def filled(barn):
    """Pictures in two splits: one with two masks, the others verified negatives; all names alike but one with signs
    that an address has to escape."""
    for place in range(PICTURES):
        name = "Über den Hof & +100%.png" if place == 1 else "same.png"
        image = factories.make_image(barn.project, split="train" if place else "val", original_name=name)
        masks = [factories.make_instance(factories.box_rle(1, 2, 8, 9)), factories.make_instance()]
        fields = {"truth": "absent"} if place else {"truth": "present", "instances": masks}
        factories.make_pair(barn.project, barn.chicken, image, **fields)
    return barn


@pytest.fixture
def bucket(s3, request) -> str:
    """An empty one of this test's own."""
    return s3.bucket(f"export-{hashlib.sha1(request.node.name.encode()).hexdigest()[:12]}")


def run(barn, **options) -> Job:
    job = export_start(project=barn.project, user=barn.admin, **options)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    return job


def no_clock(content: bytes) -> dict:
    manifest = json.loads(content)
    return {key: value for key, value in manifest.items() if key not in ("job", "made_at")}


@pytest.mark.parametrize("format", FORMATS)
def test_objects_are_the_very_files_of_the_zip(filled, s3, bucket, format):
    job = run(filled, format=format, to=f"s3://{bucket}/a/b")
    assert (job.state, job.report["to"]) == ("succeeded", f"s3://{bucket}/a/b"), job.reason
    zipped = run(filled, format=format)
    with zipfile.ZipFile(export_file(job=zipped)) as archive:
        files = {f"a/b/{name}": archive.read(name) for name in archive.namelist()}
    objects = s3.objects(bucket)
    assert no_clock(objects.pop("a/b/manifest.json")) == no_clock(files.pop("a/b/manifest.json"))
    assert objects == files
    assert sum(name.endswith(".png") for name in objects) == PICTURES
    assert job.report["bytes"] == sum(len(content) for content in s3.objects(bucket).values())


@pytest.mark.parametrize("format", ["coco", "label_studio"])
def test_import_from_the_bucket_brings_every_verdict_back(filled, bucket, format):
    assert run(filled, format=format, to=f"s3://{bucket}/x").state == "succeeded"
    other = factories.make_project(filled.admin)
    factories.make_concept(other, "chicken")
    job = import_start(project=other, user=filled.admin, upload_path=f"s3://{bucket}/x")
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    columns = ("image__sha256", "truth")
    assert sorted(other.pairs.values_list(*columns)) == sorted(filled.project.pairs.values_list(*columns))
    [back], [there] = other.pairs.filter(truth="present"), filled.project.pairs.filter(truth="present")
    assert [one["mask"] for one in back.instances] == [one["mask"] for one in there.instances]


def test_nothing_is_written_over(filled, s3, bucket):
    s3.client.put_object(Bucket=bucket, Key="mine/notes.txt", Body=b"dear to somebody")
    with pytest.raises(RoostError, match=rf"Something lies in s3://{bucket}/mine"):
        export_start(project=filled.project, user=filled.admin, to=f"s3://{bucket}/mine")
    assert run(filled, to=f"s3://{bucket}/min").state == "succeeded"
    assert s3.objects(bucket)["mine/notes.txt"] == b"dear to somebody"


def test_failure_half_way_takes_back_what_it_wrote_and_the_prefix_may_be_used_again(filled, s3, bucket, settings):
    last = filled.project.images.order_by("sha256").last()
    path = settings.IMAGES_DIR / last.sha256[:2] / last.sha256
    data = path.read_bytes()
    path.unlink()
    job = run(filled, to=f"s3://{bucket}/x")
    assert job.state == "failed"
    assert last.original_name in job.reason
    assert "backup" in job.reason
    assert s3.objects(bucket) == {}
    path.write_bytes(data)
    assert run(filled, to=f"s3://{bucket}/x").state == "succeeded"


def test_server_that_refuses_half_way_is_a_sentence_and_leaves_no_manifest(filled, s3, bucket, settings):
    job = export_start(project=filled.project, user=filled.admin, to=f"s3://{bucket}/x")
    s3.ask_for_credentials(3)
    try:
        job_run(job_id=job.pk)
    finally:
        s3.ask_for_credentials(float("inf"))
    job.refresh_from_db()
    assert (job.state, "does not know the access key" in job.reason) == ("failed", True), job.reason
    left = s3.objects(bucket)  # pictures went one after the other, and nobody may take them back
    assert len(left) == 3
    originals = {row.sha256 for row in filled.project.images.all()}
    assert {hashlib.sha256(content).hexdigest() for content in left.values()} <= originals
    assert list(settings.EXPORTS_DIR.glob("*.tmp")) + list(settings.EXPORTS_DIR.glob(".*.tmp")) == []
    with pytest.raises(RoostError, match="name a prefix of its own"):
        export_start(project=filled.project, user=filled.admin, to=f"s3://{bucket}/x")


def test_job_that_died_and_is_run_again_writes_over_what_it_left(filled, s3, bucket):
    zipped = run(filled)
    with zipfile.ZipFile(export_file(job=zipped)) as archive:
        [name, *_] = [name for name in archive.namelist() if name.endswith(".png")]
        content = archive.read(name)
    job = export_start(project=filled.project, user=filled.admin, to=f"s3://{bucket}/x")
    s3.client.put_object(Bucket=bucket, Key=f"x/{name}", Body=b"of an earlier attempt")
    job_run(job_id=job.pk)
    assert s3.objects(bucket)[f"x/{name}"] == content


def test_cancelled_export_takes_back_what_it_wrote(s3, bucket):
    with contextlib.suppress(JobCancelled), target_opened(f"s3://{bucket}/x", download="", job=1) as target:
        target.text("labels/a.txt", "0 0.5 0.5 1 1")
        there = s3.objects(bucket)
        raise JobCancelled("cancelled")
    assert (there, s3.objects(bucket)) == ({"x/labels/a.txt": b"0 0.5 0.5 1 1"}, {})


@pytest.fixture
def reader(s3, bucket, monkeypatch):
    """Credentials that may list and read the bucket and no more."""
    names = {"aws_access_key_id": "tester", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    iam = boto3.session.Session().client("iam", endpoint_url=s3.url, **names)
    iam.create_user(UserName=bucket)
    allowed = {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=bucket, PolicyName="read", PolicyDocument=policy)
    key = iam.create_access_key(UserName=bucket)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    s3.ask_for_credentials(0)
    yield key
    s3.ask_for_credentials(float("inf"))


def test_bucket_that_may_be_read_alone_is_told_in_a_sentence(filled, s3, bucket, reader):
    job = run(filled, to=f"s3://{bucket}/x")
    s3.ask_for_credentials(float("inf"))
    assert (job.state, f"forbids this in bucket '{bucket}'" in job.reason) == ("failed", True), job.reason
    assert reader["SecretAccessKey"] not in job.reason
    assert s3.objects(bucket) == {}


def test_bucket_that_is_not_there_is_told_at_once(filled, s3):
    with pytest.raises(CommandError, match="no bucket 'no-such-bucket'"):
        call_command("export", "barn", to="s3://no-such-bucket/x", here=True)
    assert not Job.objects.exists()


def test_server_that_is_away_is_told_at_once(filled, settings, s3, monkeypatch):
    monkeypatch.setattr(buckets, "ATTEMPTS", 1)
    with s3_server() as server:
        settings.S3_ENDPOINT = server.url
        server.bucket("going")
        job = export_start(project=filled.project, user=filled.admin, to="s3://going/x")
        server.stop()
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, server.url in job.reason) == ("failed", True), job.reason


# Whom a page and a token may have it written to


@pytest.mark.parametrize("prefix", ["open-not", "", "shut/open"])
def test_bucket_outside_of_roost_buckets_is_refused_by_page_and_api(
    filled, s3, bucket, settings, api, signed_in, prefix
):
    settings.BUCKETS = [f"{bucket}/open"]
    body = {"format": "coco", "to": f"s3://{bucket}/{prefix}"}
    answer = api(filled.admin).post(reverse("api-exports", args=["barn"]), body, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "source_refused")
    signed_in(filled.admin).post(reverse("export", args=["barn"]), body)
    assert not Job.objects.exists()
    assert s3.objects(bucket) == {}


def test_open_bucket_is_written_to_by_api_and_page(filled, s3, bucket, settings, api, signed_in):
    settings.BUCKETS = [f"{bucket}/open"]
    body = {"format": "yolo", "to": f"s3://{bucket}/open/one"}
    assert api(filled.admin).post(reverse("api-exports", args=["barn"]), body, format="json").status_code == 202
    signed_in(filled.admin).post(reverse("export", args=["barn"]), {"format": "coco", "to": f"s3://{bucket}/open/two"})
    for job in Job.objects.all():
        job_run(job_id=job.pk)
    assert [job.state for job in Job.objects.all()] == ["succeeded", "succeeded"]
    assert {"open/one/manifest.json", "open/two/manifest.json"} <= set(s3.objects(bucket))


def test_bucket_that_was_shut_before_the_job_began_is_not_written_to(filled, s3, bucket, settings):
    settings.BUCKETS = [bucket]
    to = f"s3://{bucket}/x"
    job = export_start(project=filled.project, user=filled.admin, to=to, named_by_person=True)
    settings.BUCKETS = []
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, "ROOST_BUCKETS" in job.reason) == ("failed", True)
    assert s3.objects(bucket) == {}
