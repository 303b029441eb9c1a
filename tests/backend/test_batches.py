"""Mining in batches, and work whose client has gone, over real HTTP."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mlbackend.model.masks import decode_wire_mask
from tests.backend.support import Client, iou, metric, served_here, store_picture
from tests.processes import wait_until

CONCEPTS = ["chicken", "duck"]


@pytest.fixture
def var(tmp_path: Path, backend_var: Path) -> Path:
    shutil.copytree(backend_var / "models" / "tiny", tmp_path / "models" / "tiny")
    return tmp_path


def mined(var: Path, images: list[str], batch: int) -> tuple[list[dict[str, Any]], float]:
    """Results without embeddings to help, and jobs a call of the model."""
    shutil.rmtree(var / "embeddings", ignore_errors=True)
    with served_here(var, ROOST_DEFAULT_MODEL="tiny", ROOST_ENCODE_BATCH=str(batch)) as client:
        body = {"model_version": "tiny", "images": images, "concepts": CONCEPTS, "score_threshold": 0}
        results = client.post("/v1/predict", body)["results"]
        return results, metric(client, "roost_heavy_jobs") / metric(client, "roost_heavy_calls")


def test_mining_in_batches_answers_as_it_does_one_by_one(var: Path) -> None:
    images = [store_picture(var, seed) for seed in range(12)]
    alone, jobs_a_call = mined(var, images, 1)
    together, more_jobs_a_call = mined(var, images, 4)
    assert jobs_a_call == 1 < more_jobs_a_call
    assert [row["image"] for row in together] == images
    assert [row["feature"] for row in together] == [row["feature"] for row in alone]  # the encode, bit for bit
    for first, second in zip(alone, together, strict=True):
        for one, other in zip(first["concepts"], second["concepts"], strict=True):
            assert other["presence"] == pytest.approx(one["presence"], abs=1e-5)
            masks = (decode_wire_mask(concept["instances"][0]["mask"]) for concept in (one, other))
            assert iou(*masks) > 0.999


@contextmanager
def sent(client: Client, path: str, body: dict[str, Any]) -> Iterator[None]:
    """A request whose client hangs up at the end, answered or not."""
    data = json.dumps(body).encode()
    host, port = urlsplit(client.base_url).netloc.split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + data)
        yield


def jobs_after(client: Client, image: str) -> float:
    """All jobs so far, once this picture is answered too: the lane is one thread, what was under way has ended."""
    client.post("/v1/predict", {"model_version": "tiny", "images": [image], "concepts": ["hen"]})
    return metric(client, "roost_heavy_jobs")


def test_prediction_whose_client_hung_up_is_dropped_and_the_rest_goes_on(var: Path) -> None:
    images = [store_picture(var, seed) for seed in range(16)]
    others = [store_picture(var, seed) for seed in range(16, 19)]
    body = {"model_version": "tiny", "images": images, "concepts": [f"thing {i}" for i in range(20)]}
    with served_here(var, ROOST_DEFAULT_MODEL="tiny") as client:
        a_picture = jobs_after(client, others[0])
        with sent(client, "/v1/predict", body):
            wait_until(lambda: metric(client, "roost_heavy_jobs") > a_picture)
        wait_until(lambda: metric(client, 'roost_errors_total{code="client_gone"}') == 1)
        wait_until(lambda: metric(client, "roost_queue_depth_heavy") == 0)
        done = jobs_after(client, others[1])
        assert done - 2 * a_picture < 2 * len(images)
        assert jobs_after(client, others[2]) == done + a_picture
        click = {"model_version": "tiny", "image": images[-1], "points": [{"x": 40, "y": 50, "label": 1}]}
        assert client.post("/v1/click", click)["candidates"]
