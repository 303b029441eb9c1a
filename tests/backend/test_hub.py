"""A base model by its hub id: fetched once, resumed, served offline from the cache, and refused with what to do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from mlbackend.model.loader import resolve_source
from mlbackend.model.network import WeightsError
from tests.backend.hub_server import Hub, hub_served
from tests.backend.support import served, store_picture

SAM3, TOKEN = "facebook/sam3", "hf_secret"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def checkpoint(backend_var: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM 3 as the hub has the large one: weights, tokenizer, and a pickle that nobody must ask for."""
    folder = tmp_path_factory.mktemp("hub") / "sam3"
    shutil.copytree(backend_var / "models" / "tiny", folder, ignore=shutil.ignore_patterns("manifest.json"))
    (folder / "sam3.pt").write_bytes(b"never unpickled")
    return folder


def look_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT sets in a process that begins with it."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The client of this process looks at the hub on loopback, and keeps its cache in a folder of its own."""
    with hub_served(Hub(SAM3, checkpoint, TOKEN)) as hub:
        look_at(hub.url, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield hub


def test_hub_id_is_served_as_sam3_by_a_server_that_was_given_the_token(checkpoint: Path, tmp_path: Path) -> None:
    image = store_picture(tmp_path, 1)
    click = {"model_version": "sam3", "image": image, "points": [{"x": 40, "y": 50, "label": 1}]}
    with (
        hub_served(Hub(SAM3, checkpoint, TOKEN)) as hub,
        served(
            tmp_path,
            ROOST_DEFAULT_MODEL="sam3",
            ROOST_BASE_MODEL=SAM3,
            HF_ENDPOINT=hub.url,
            HF_TOKEN=TOKEN,
            HF_HOME=str(tmp_path / "hf"),
        ) as client,
    ):
        assert client.post("/v1/click", click)["candidates"]
    assert "model.safetensors" in hub.downloads()
    assert "sam3.pt" not in hub.downloads()


def test_weights_are_downloaded_once(hub: Hub, checkpoint: Path) -> None:
    first = resolve_source(SAM3, hub_token=TOKEN)
    assert (first / "model.safetensors").read_bytes() == (checkpoint / "model.safetensors").read_bytes()
    fetched = len(hub.downloads())
    assert resolve_source(SAM3, hub_token=TOKEN) == first
    assert len(hub.downloads()) == fetched


def test_download_that_broke_off_is_taken_up_where_it_ended(
    hub: Hub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 64 * 1024)  # 10 MB: as much as is lost at most
    hub.cut.add("model.safetensors")
    folder = resolve_source(SAM3, hub_token=TOKEN)
    assert (folder / "model.safetensors").read_bytes() == (checkpoint / "model.safetensors").read_bytes()
    ranges = [asked for method, path, asked in hub.requests if method == "GET" and path.endswith("model.safetensors")]
    assert ranges[0] is None
    assert int(ranges[1].removeprefix("bytes=").rstrip("-")) > 0


@pytest.mark.parametrize(
    ("token", "why"), [(None, "HF_TOKEN is not set"), (TOKEN, "has no access"), ("hf_other", "has no access")]
)
def test_gated_model_names_licence_and_token(hub: Hub, token: str | None, why: str) -> None:
    hub.licence_accepted = False
    words = f"is gated and .*{why}.*: accept its licence at {hub.url}/{SAM3}"
    with pytest.raises(WeightsError, match=words) as refusal:
        resolve_source(SAM3, hub_token=token)
    assert "set HF_TOKEN" in str(refusal.value)
    assert TOKEN not in str(refusal.value)


def test_id_that_the_hub_does_not_have_is_refused_by_name(hub: Hub) -> None:
    with pytest.raises(WeightsError, match=r"the hub has no 'facebook/sam33'.*check ROOST_BASE_MODEL"):
        resolve_source("facebook/sam33", hub_token=TOKEN)


def test_offline_the_cache_serves(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = resolve_source(SAM3, hub_token=TOKEN)
    look_at(NOBODY, monkeypatch)
    assert resolve_source(SAM3) == folder


def test_offline_without_a_cache_says_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    look_at(NOBODY, monkeypatch)
    with pytest.raises(WeightsError, match=r"its cache does not hold it \(.*connect this machine to"):
        resolve_source(SAM3, hub_token=TOKEN)
