"""A real ML backend for tests of the web side: its own process, the demo model's architecture with random weights.

The backend's helpers import torch, which takes seconds: only the fixtures that need them do.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings as django_settings

from annotator.models import Image
from tests import factories
from tests.web.label_studio_fixtures import link, studio, studio_server  # noqa: F401

if TYPE_CHECKING:
    from tests.backend.support import Client

VERSIONS = ("tiny", "other")


@pytest.fixture(scope="session")
def backend_process() -> "Iterator[Client]":
    """`python -m mlbackend` on the test folder, serving the versions `tiny` and `other`."""
    from tests.backend.support import served, small_network, write_version

    var = Path(django_settings.VAR_DIR)
    for seed, version in enumerate(VERSIONS, start=1):
        write_version(var / "models", version, small_network(seed), taught_words=["chicken"])
    with served(var, ROOST_DEFAULT_MODEL="tiny") as client:
        yield client


@pytest.fixture
def backend(backend_process, settings) -> "Client":
    """The running backend, and settings that point to it."""
    settings.MLBACKEND_URL, settings.MLBACKEND_TOKEN = backend_process.base_url, ""
    return backend_process


@pytest.fixture(autouse=True)
def own_runs(settings, tmp_path) -> None:
    """Runs are numbered from 1 in every test: in one folder for all, one would find what another had left."""
    settings.RUNS_DIR = tmp_path / "runs"


@pytest.fixture
def no_backend(settings) -> None:
    """Nothing listens there: port 1 is nobody's."""
    settings.MLBACKEND_URL = "http://127.0.0.1:1"


@pytest.fixture
def picture():
    """`picture(project, seed, split=...)`: an image row whose file the backend can read."""

    from tests.backend.support import noisy_picture, png_bytes, store_bytes

    def store(project, seed: int, **fields) -> Image:
        data = png_bytes(noisy_picture(seed))
        sha256 = store_bytes(Path(django_settings.VAR_DIR), data)
        width, height = 160, 120
        defaults = {"media_type": "image/png", "bytes": len(data), "original_name": f"{seed}.png"}
        return Image.objects.create(project=project, sha256=sha256, width=width, height=height, **defaults | fields)

    return store


@pytest.fixture
def tiny_barn(backend, barn) -> factories.Barn:
    """A barn that is served by the version `tiny`."""
    barn.project.serving_version = factories.make_version("tiny")
    barn.project.save()
    return barn


@pytest.fixture(scope="session")
def s3_process():
    """One S3 server for all tests; each takes buckets of its own."""
    from tests.s3_server import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_process, settings, monkeypatch):
    """The S3 server, and settings and credentials that lead to it."""
    from tests.s3_server import CREDENTIALS

    settings.S3_ENDPOINT = s3_process.url
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return s3_process
