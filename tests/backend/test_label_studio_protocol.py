"""Label Studio's calls as it makes them, against a real server process and a real image server."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.converter.brush import decode_rle

from mlbackend.model.masks import decode_wire_mask
from tests.backend.support import Client, noisy_picture, png_bytes, served_here, store_bytes
from tests.backend.test_label_studio_parts import CONFIG


@dataclass(frozen=True)
class Attached:
    client: Client
    var: Path
    images: Path
    images_url: str

    def predict(self, *tasks: dict[str, Any], context: Any = None, alias: str = "default", **changes: Any):
        body = {
            "tasks": list(tasks),
            "project": "7.1700000000",
            "label_config": CONFIG,
            "params": {"login": None, "password": None, "context": context},
        } | changes
        return self.client.call(f"/ls/{alias}/predict", body)

    def task(self, name: str, number: int = 1) -> dict[str, Any]:
        return {"id": number, "data": {"image": f"{self.images_url}/{name}"}}


@pytest.fixture(scope="module")
def attached(backend_var: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attached]:
    images = tmp_path_factory.mktemp("images")
    (images / "a.png").write_bytes(png_bytes(noisy_picture(1)))
    (images / "b.png").write_bytes(png_bytes(noisy_picture(2, width=97, height=211)))
    (images / "broken.png").write_bytes(b"no picture")
    handler = functools.partial(Quiet, directory=str(images))
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    port = site.server_address[1]
    with served_here(
        backend_var,
        ROOST_DEFAULT_MODEL="tiny",
        ROOST_LS_HOSTS=f"localhost:{port}",
        ROOST_LS_NETWORKS="127.0.0.0/8",
        ROOST_LS_THRESHOLD_PCT="0",
        ROOST_LS_SPOOL_FILES="6",
    ) as client:
        yield Attached(client, backend_var, images, f"http://localhost:{port}")
    site.shutdown()
    site.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def context(*points: tuple[float, float, bool], width: int = 160, height: int = 120) -> dict[str, Any]:
    return {
        "result": [
            {
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "is_positive": positive,
                "id": f"point{i}",
                "from_name": "points",
                "to_name": "img",
                "type": "keypointlabels",
                "origin": "manual",
                "value": {"x": x, "y": y, "width": 0.32, "labels": ["Chicken"], "keypointlabels": ["Chicken"]},
            }
            for i, (x, y, positive) in enumerate(points)
        ]
    }


def test_health_setup_and_versions_answer_as_expected(attached: Attached) -> None:
    assert attached.client.get("/ls/default/health")["status"] == "UP"
    setup = {
        "project": "7.17",
        "schema": CONFIG,
        "hostname": "http://localhost:8080",
        "access_token": "x",
        "extra_params": None,
    }
    assert attached.client.post("/ls/default/setup", setup) == {"model_version": "tiny"}
    assert "tiny" in attached.client.get("/ls/default/versions")["versions"]


def test_setup_of_a_word_that_is_no_version_is_refused_by_name(attached: Attached) -> None:
    status, answer, _ = attached.client.call("/ls/chickens/setup", {"project": "7.17", "schema": CONFIG})
    assert (status, answer["error"]["code"]) == (404, "unknown_version")
    assert "tiny" in answer["error"]["message"]


@pytest.mark.parametrize("action", [None, 1, ["START_TRAINING"], {}])
def test_event_without_a_name_is_refused(attached: Attached, action: object) -> None:
    status, answer, _ = attached.client.call("/ls/default/webhook", {"action": action, "project": {"id": 3}})
    assert (status, list(answer["error"]["fields"])) == (400, ["action"])


def test_keypoint_answers_one_brush_region_of_the_images_size(attached: Attached) -> None:
    status, answer, _ = attached.predict(attached.task("a.png"), context=context((25, 40, True)))
    result = answer["results"][0]
    region = result["result"][0]
    assert (status, result["model_version"]) == (200, "tiny")
    assert (region["from_name"], region["to_name"], region["type"]) == ("brush", "img", "brushlabels")
    assert (region["original_width"], region["original_height"]) == (160, 120)
    assert region["value"]["brushlabels"] == ["Chicken"]
    assert len(decode_rle(region["value"]["rle"])) == 160 * 120 * 4


def test_brush_is_the_native_apis_mask(attached: Attached) -> None:
    image = store_bytes(attached.var, (attached.images / "a.png").read_bytes())
    native = attached.client.post(
        "/v1/click", {"model_version": "tiny", "image": image, "points": [{"x": 40, "y": 48, "label": 1}]}
    )
    answer = attached.predict(attached.task("a.png"), context=context((25, 40, True)))[1]
    alpha = decode_rle(answer["results"][0]["result"][0]["value"]["rle"]).reshape(120, 160, 4)[..., 3]
    assert ((alpha == 255) == decode_wire_mask(native["mask"])).all()


def test_negative_point_changes_the_mask(attached: Attached) -> None:
    def rle(*points: tuple[float, float, bool]) -> list[int]:
        return attached.predict(attached.task("a.png"), context=context(*points))[1]["results"][0]["result"][0][
            "value"
        ]["rle"]

    assert rle((25, 40, True), (60, 60, False)) != rle((25, 40, True), (60, 60, True))


def test_batch_answers_every_task_with_scores_and_the_version(attached: Attached) -> None:
    status, answer, _ = attached.predict(attached.task("a.png"), attached.task("b.png", 2))
    assert status == 200
    assert [result["model_version"] for result in answer["results"]] == ["tiny", "tiny"]
    sizes = [
        {(region["original_width"], region["original_height"]) for region in result["result"]}
        for result in answer["results"]
    ]
    assert sizes == [{(160, 120)}, {(97, 211)}]
    assert all(0 <= region["score"] <= 1 for result in answer["results"] for region in result["result"])


def test_alias_in_the_path_chooses_the_version(attached: Attached) -> None:
    answer = attached.predict(attached.task("a.png"), context=context((25, 40, True)), alias="other")[1]
    assert answer["results"][0]["model_version"] == "other"
    assert attached.predict(attached.task("a.png"), alias="unheard-of")[0] == 404


@pytest.mark.parametrize("name", ["missing.png", "broken.png"])
def test_image_that_cannot_be_had_is_an_error_and_no_empty_mask(attached: Attached, name: str) -> None:
    status, answer, _ = attached.predict(attached.task(name), context=context((25, 40, True)))
    assert status == 422
    assert "results" not in answer
    assert attached.predict(attached.task(name))[0] == 422


def test_one_bad_task_gets_no_prediction_and_the_others_theirs(attached: Attached) -> None:
    status, answer, _ = attached.predict(attached.task("a.png"), attached.task("missing.png", 2))
    assert (status, len(answer["results"])) == (200, 2)
    assert answer["results"][0]["result"]
    assert answer["results"][1] == []  # Label Studio stores nothing for an empty list
    assert [error["task"] for error in answer["errors"]] == [2]


def test_browser_that_shows_another_size_is_told(attached: Attached) -> None:
    status, answer, _ = attached.predict(attached.task("a.png"), context=context((25, 40, True), width=120, height=160))
    assert status == 422
    assert "The browser shows 120 x 160" in answer["error"]["message"]


def test_second_click_does_not_fetch_the_image_again(attached: Attached) -> None:
    path = attached.images / "once.png"
    path.write_bytes(png_bytes(noisy_picture(9)))
    first = attached.predict(attached.task("once.png"), context=context((25, 40, True)))
    path.unlink()
    assert attached.predict(attached.task("once.png"), context=context((25, 40, True)))[0] == first[0] == 200


def test_body_with_large_drafts_is_accepted(attached: Attached) -> None:
    task = attached.task("a.png") | {"drafts": [{"result": [{"value": {"rle": [255] * 600_000}}]}]}
    assert attached.predict(task, context=context((25, 40, True)))[0] == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": None},
        {"tasks": [7]},
        {"label_config": "<View/>"},
        {"params": {"context": {"result": []}}},
        {"tasks": [{"data": {}}]},
        {"tasks": [{"data": {"image": 5}}]},
    ],
)
def test_malformed_requests_are_refused(attached: Attached, changes: dict[str, Any]) -> None:
    assert attached.predict(attached.task("a.png"), **changes)[0] == 400


@pytest.fixture
def spool(backend_var: Path) -> Path:
    """Emptied, for other tests' events end there as well."""
    folder = backend_var / "spool" / "label_studio"
    for path in folder.glob("*.json"):
        path.unlink()
    return folder


def test_events_reach_the_spool_until_it_is_full(attached: Attached, spool: Path) -> None:
    event = {
        "action": "ANNOTATION_CREATED",
        "annotation": {"id": 5, "result": []},
        "task": {"id": 4},
        "project": {"id": 3},
    }
    assert attached.client.post("/ls/default/webhook", event)["job"]
    assert attached.client.post("/ls/default/webhook", {"action": "START_TRAINING", "project": {"id": 3}})["job"]
    assert attached.client.post("/ls/default/webhook", {"action": "TASKS_CREATED"}) == {"status": "ignored"}
    records = [json.loads(path.read_text()) for path in sorted(spool.glob("*.json"))]
    assert [(record["action"], record["project"]) for record in records] == [
        ("ANNOTATION_CREATED", 3),
        ("START_TRAINING", 3),
    ]
    statuses = [attached.client.call("/ls/default/webhook", event)[0] for _ in range(5)]
    assert statuses == [200, 200, 200, 200, 429]
    for path in spool.glob("*.json"):
        path.unlink()


def test_large_event_is_kept_as_its_ids_alone(attached: Attached, spool: Path) -> None:
    event = {
        "action": "ANNOTATION_UPDATED",
        "annotation": {"id": 5, "result": [{"rle": [255] * 400_000}]},
        "task": {"id": 4},
        "project": {"id": 3},
    }
    assert attached.client.post("/ls/default/webhook", event)["job"]
    (path,) = spool.glob("*.json")
    record = json.loads(path.read_text())
    path.unlink()
    assert {key: record[key] for key in ("action", "project", "tasks", "annotations")} == {
        "action": "ANNOTATION_UPDATED",
        "project": 3,
        "tasks": [4],
        "annotations": [5],
    }


@pytest.mark.parametrize("body", [b"[" * 1_100_000, b"[%s]" % (b" " * 1_100_000)])
def test_large_event_that_is_no_object_is_refused(attached: Attached, body: bytes) -> None:
    assert attached.client.call("/ls/default/webhook", raw=body)[0] == 400


def test_with_a_token_only_annotation_events_come_without_it(backend_var: Path, spool: Path) -> None:
    with served_here(backend_var, wait=False, ROOST_MLBACKEND_TOKEN="s3cret", ROOST_DEFAULT_MODEL="tiny") as client:
        stranger = Client(client.base_url)
        assert stranger.call("/ls/default/webhook", {"action": "ANNOTATION_UPDATED", "project": {"id": 1}})[0] == 200
        assert stranger.call("/ls/default/webhook", {"action": "START_TRAINING"})[0] == 401
        assert stranger.call("/ls/default/predict", {})[0] == 401
        assert client.call("/ls/default/webhook", {"action": "START_TRAINING"})[0] == 200
    records = [json.loads(path.read_text()) for path in sorted(spool.glob("*.json"))]
    assert [record["authenticated"] for record in records] == [False, True]


def test_masks_decode_to_something(attached: Attached) -> None:
    answer = attached.predict(attached.task("b.png"))[1]
    sizes = [
        int((np.asarray(decode_rle(region["value"]["rle"])) == 255).sum())
        for region in answer["results"][0]["result"][:3]
    ]
    assert all(sizes)
