"""Images and shared embeddings in S3 buckets, against a real S3 server over HTTP."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlbackend.settings import SettingsError, read_settings
from tests.backend.support import noisy_picture, png_bytes, served_here
from tests.s3_server import CREDENTIALS, S3Server, s3_server

PICTURE = png_bytes(noisy_picture(21))
IMAGE = hashlib.sha256(PICTURE).hexdigest()
CLICK = {"model_version": "tiny", "image": IMAGE, "points": [{"x": 40, "y": 50, "label": 1}]}


@pytest.fixture(scope="module")
def s3_running() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return s3_running


def new_replica(tmp_path: Path, backend_var: Path, name: str) -> Path:
    """A machine that has the model and no image."""
    shutil.copytree(backend_var / "models" / "tiny", tmp_path / name / "models" / "tiny")
    return tmp_path / name


def test_image_is_fetched_by_its_hash_and_its_embedding_serves_the_next_replica(
    s3: S3Server, tmp_path: Path, backend_var: Path
) -> None:
    s3.bucket("barn", {f"roost/images/{IMAGE[:2]}/{IMAGE}": PICTURE})
    s3.bucket("embeddings")
    settings = {
        "ROOST_DEFAULT_MODEL": "tiny",
        "ROOST_S3_ENDPOINT": s3.url,
        "ROOST_IMAGES_BUCKET": "s3://barn/roost/images",
        "ROOST_SHARED_EMBEDDINGS": "s3://embeddings/shared",
    }
    one, two = (new_replica(tmp_path, backend_var, name) for name in ("one", "two"))
    with served_here(one, **settings) as client:
        first = client.post("/v1/click", CLICK)
    assert (one / "images" / IMAGE[:2] / IMAGE).read_bytes() == PICTURE
    s3.client.delete_object(Bucket="barn", Key=f"roost/images/{IMAGE[:2]}/{IMAGE}")
    with served_here(two, **settings) as client:
        again = client.post("/v1/click", CLICK)
    assert (first["embedding"], again["embedding"]) == ("miss", "hit")
    assert again["mask"] == first["mask"]
    assert {key.split("/")[2] for key in s3.objects("embeddings")} == {"tokens", "click"}


def test_what_the_bucket_lacks_or_has_wrong_is_refused_by_name(s3: S3Server, tmp_path: Path, backend_var: Path) -> None:
    other = "ab" * 32
    s3.bucket("liar", {f"ab/{other}": PICTURE})
    var = new_replica(tmp_path, backend_var, "one")
    with served_here(
        var, ROOST_DEFAULT_MODEL="tiny", ROOST_S3_ENDPOINT=s3.url, ROOST_IMAGES_BUCKET="s3://liar"
    ) as client:
        absent = client.post("/v1/click", CLICK, expected=404)["error"]
        wrong = client.post("/v1/click", CLICK | {"image": other}, expected=422)["error"]
    assert absent["code"] == "absent_image"
    assert "other content than its name" in wrong["message"]
    assert not (var / "images" / "ab" / other).exists()


def test_bucket_that_does_not_answer_is_said_and_images_that_are_here_are_served(
    s3: S3Server, tmp_path: Path, backend_var: Path
) -> None:
    var = new_replica(tmp_path, backend_var, "one")
    path = var / "images" / IMAGE[:2] / IMAGE
    path.parent.mkdir(parents=True)
    path.write_bytes(PICTURE)
    with served_here(
        var,
        ROOST_DEFAULT_MODEL="tiny",
        ROOST_S3_ENDPOINT="http://127.0.0.1:9",
        ROOST_IMAGES_BUCKET="s3://barn",
        ROOST_SHARED_EMBEDDINGS="s3://barn/shared",
    ) as client:
        assert client.post("/v1/click", CLICK)["candidates"]
        status, answer, headers = client.call("/v1/click", CLICK | {"image": "cd" * 32})
    assert (status, answer["error"]["code"], headers["Retry-After"]) == (503, "store_away", "10")
    assert "s3://barn" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ROOST_IMAGES_BUCKET", "barn/images", "names no bucket: write s3://bucket/prefix"),
        ("ROOST_SHARED_EMBEDDINGS", "s3:///prefix", "names no bucket: write s3://bucket/prefix"),
    ],
)
def test_place_that_is_no_bucket_is_refused_at_the_start(variable: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}='{value}' {words}"):
        read_settings({variable: value}).check_buckets()


def test_without_boto3_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"needs the package boto3: pip install -r requirements-scale\.txt"):
        read_settings({"ROOST_SHARED_EMBEDDINGS": "s3://barn/shared"}).check_buckets()
    read_settings({"ROOST_SHARED_EMBEDDINGS": "/mnt/shared"}).check_buckets()
