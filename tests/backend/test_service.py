"""The process: start, access, limits, and the change of a version while it serves."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.backend.support import (
    REPOSITORY,
    Client,
    metric,
    served,
    served_here,
    small_network,
    store_picture,
    write_version,
)
from tests.processes import PATIENCE_S, wait_until

POINT = [{"x": 40, "y": 50, "label": 1}]


@pytest.fixture
def var(tmp_path: Path, backend_var: Path) -> Path:
    (tmp_path / "models").mkdir()
    shutil.copytree(backend_var / "models" / "tiny", tmp_path / "models" / "tiny")
    return tmp_path


def click(client: Client, image: str, version: str = "tiny") -> dict[str, Any]:
    return client.post("/v1/click", {"model_version": version, "image": image, "points": POINT})


def refusal_of_start(var: Path, **environ: str) -> str:
    env = {**os.environ, "ROOST_VAR": str(var), "PYTHONPATH": str(REPOSITORY), **environ}
    ended = subprocess.run(
        [sys.executable, "-m", "mlbackend"],
        env=env,
        cwd=REPOSITORY,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 2
    return ended.stderr.decode()


def test_other_hosts_need_a_token(tmp_path: Path) -> None:
    assert "set ROOST_MLBACKEND_TOKEN" in refusal_of_start(tmp_path, ROOST_MLBACKEND_HOST="0.0.0.0")


def test_nonsense_settings_are_refused_by_name(tmp_path: Path) -> None:
    assert "ROOST_TORCH_THREADS='many'" in refusal_of_start(tmp_path, ROOST_TORCH_THREADS="many")


def test_health_answers_while_weights_load(var: Path) -> None:
    with served(var, wait=False, ROOST_DEFAULT_MODEL="tiny") as client:
        client.wait_health()
        status, answer, _ = client.call("/ready")
        assert (status, answer["state"]) == (503, "loading")
        status, answer, headers = client.call(
            "/v1/click", {"model_version": "tiny", "image": "0" * 64, "points": POINT}
        )
        assert (status, answer["error"]["code"]) == (503, "loading")
        assert int(headers["Retry-After"]) >= 1
        client.wait_ready()


def test_ready_says_failed_and_why_and_health_stays_up(var: Path) -> None:
    (var / "models" / "tiny" / "config.json").write_text("{")
    with served_here(var, wait=False, ROOST_DEFAULT_MODEL="tiny") as client:
        wait_until(lambda: client.call("/ready")[1].get("state") == "failed")
        answer = client.call("/ready")[1]
        assert "config.json is not valid JSON" in answer["reason"]
        assert client.get("/health")["status"] == "UP"


def test_token_is_required_as_bearer_or_basic_password(var: Path) -> None:
    with served_here(var, ROOST_MLBACKEND_TOKEN="s3cret", ROOST_DEFAULT_MODEL="tiny") as client:
        assert Client(client.base_url).call("/v1/versions")[0] == 401
        assert Client(client.base_url, "wrong").call("/v1/versions")[1]["error"]["code"] == "unauthorised"
        assert Client(client.base_url).call("/health")[0] == 200
        basic = urllib.request.Request(client.base_url + "/v1/versions")
        basic.add_header("Authorization", "Basic " + base64.b64encode(b"anyone:s3cret").decode())
        with urllib.request.urlopen(basic) as answer:
            assert answer.status == 200
        assert client.get("/v1/versions")["versions"]


def test_overload_answers_429_with_retry_after(var: Path) -> None:
    pictures = [store_picture(var, seed) for seed in range(16)]
    body = {"model_version": "tiny", "images": pictures, "concepts": ["chicken", "duck", "rock"]}
    with served_here(var, ROOST_DEFAULT_MODEL="tiny", ROOST_PREDICT_QUEUE="16") as client:
        with ThreadPoolExecutor(4) as clients:
            answers = list(clients.map(lambda _: client.call("/v1/predict", body), range(4)))
        assert sorted({status for status, _, _ in answers}) == [200, 429]
        refused = next(answer for answer in answers if answer[0] == 429)
        assert refused[1]["error"]["code"] == "overloaded"
        assert int(refused[2]["Retry-After"]) >= 1


def test_too_many_clicks_are_refused_and_the_others_right(var: Path) -> None:
    picture = store_picture(var, 1)
    body = {"model_version": "tiny", "image": picture, "points": POINT}
    with served_here(var, ROOST_DEFAULT_MODEL="tiny", ROOST_CLICK_QUEUE="3") as client:
        alone = client.post("/v1/click", body)
        with ThreadPoolExecutor(24) as clients:
            answers = list(clients.map(lambda _: client.call("/v1/click", body), range(120)))
    assert {status for status, _, _ in answers} == {200, 429}
    assert all(answer["mask"] == alone["mask"] for status, answer, _ in answers if status == 200)
    assert all(int(headers["Retry-After"]) >= 1 for status, _, headers in answers if status == 429)


def test_new_version_is_served_without_restart_and_keeps_embeddings(var: Path) -> None:
    picture = store_picture(var, 1)
    with served_here(var, ROOST_DEFAULT_MODEL="tiny") as client:
        click(client, picture)
        shutil.copytree(var / "models" / "tiny", var / "models" / "retrained")
        edit(var / "models" / "retrained", "detector_model.dot_product_scoring.text_proj.weight", 1.5)
        row = client.post("/v1/versions/retrained/load", {})
        rows = {row["version"]: row for row in client.get("/v1/versions")["versions"]}
        assert row["backbone_hash"] == rows["tiny"]["backbone_hash"]
        assert row["weights_hash"] != rows["tiny"]["weights_hash"]
        assert click(client, picture, "retrained")["embedding"] == "hit"


def test_failed_load_leaves_the_old_weights_in_service(var: Path) -> None:
    picture = store_picture(var, 1)
    with served_here(var, ROOST_DEFAULT_MODEL="tiny") as client:
        before = click(client, picture)
        edit(var / "models" / "tiny", "detector_model.text_projection.weight", float("nan"))
        status, answer, _ = client.call("/v1/versions/tiny/load", {})
        assert (status, answer["error"]["code"]) == (503, "failed")
        assert "not finite" in answer["error"]["message"]
        assert click(client, picture)["mask"] == before["mask"]
        assert client.call("/ready")[0] == 200


def test_loaded_versions_stay_within_the_budget(var: Path) -> None:
    for seed in (5, 6):
        write_version(var / "models", f"v{seed}", small_network(seed))
    with served_here(var, ROOST_DEFAULT_MODEL="tiny", ROOST_MODELS_MB="24") as client:
        for version in ("v5", "v6"):
            client.post(f"/v1/versions/{version}/load", {})
        loaded = {row["version"] for row in client.get("/v1/versions")["versions"] if row["loaded"]}
        assert loaded == {"tiny", "v6"}


def test_embeddings_outlive_the_process(var: Path) -> None:
    picture = store_picture(var, 1)
    with served(var, ROOST_DEFAULT_MODEL="tiny") as client:
        first = click(client, picture)
    (var / "images" / picture[:2] / picture).unlink()  # a hit never touches the image's pixels
    with served(var, ROOST_DEFAULT_MODEL="tiny") as client:
        again = click(client, picture)
    assert (first["embedding"], again["embedding"]) == ("miss", "hit")
    assert again["mask"] == first["mask"]


def test_click_on_an_image_that_takes_long_to_read_says_so_and_hits_later(var: Path) -> None:
    picture = store_picture(var, 3)
    body = {"model_version": "tiny", "image": picture, "points": POINT}
    with served_here(var, ROOST_DEFAULT_MODEL="tiny", ROOST_CLICK_WAIT_S="0") as client:
        status, answer, headers = client.call("/v1/click", body)
        assert (status, answer["error"]["code"]) == (503, "loading")
        assert int(headers["Retry-After"]) >= 1
        encodes = 'roost_stage_ms_count{stage="click_input"}'
        wait_until(lambda: metric(client, encodes) == 1)
        # Until it lies in the store a click may still join the encode that is under way.
        wait_until(lambda: client.call("/v1/click", body)[1].get("embedding") == "hit")
        assert metric(client, encodes) == 1


def test_base_model_is_served_as_sam3(var: Path) -> None:
    picture = store_picture(var, 1)
    with served_here(var, ROOST_DEFAULT_MODEL="sam3", ROOST_BASE_MODEL=str(var / "models" / "tiny")) as client:
        assert "sam3" in client.get("/ready")["versions"]
        assert click(client, picture, "sam3")["mask"] == click(client, picture, "tiny")["mask"]


def test_hover_preview_is_answered_like_a_click(var: Path) -> None:
    picture = store_picture(var, 1)
    body = {"model_version": "tiny", "image": picture, "points": POINT, "desk": "d", "sequence": 1}
    with served_here(var, ROOST_DEFAULT_MODEL="tiny") as client:
        preview = client.post("/v1/click", body | {"preview": True})
        assert client.post("/v1/click", body)["mask"] == preview["mask"]


def test_unreadable_image_is_a_422_that_names_it(var: Path) -> None:
    from tests.backend.support import store_bytes

    broken = store_bytes(var, b"\x89PNG\r\n\x1a\n but no more")
    with served_here(var, ROOST_DEFAULT_MODEL="tiny") as client:
        status, answer, _ = client.call("/v1/click", {"model_version": "tiny", "image": broken, "points": POINT})
    assert (status, answer["error"]["code"]) == (422, "unreadable_image")
    assert broken in json.dumps(answer)


def edit(folder: Path, name: str, factor: float) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors[name] = tensors[name] * factor
    save_file(tensors, folder / "edited", metadata={"format": "pt"})
    (folder / "edited").replace(folder / "model.safetensors")
