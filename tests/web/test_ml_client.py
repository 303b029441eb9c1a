"""The door to the ML backend: what a real one answers, and what happens when it is away or answers nonsense."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from annotator import ml_client
from annotator.common.errors import BackendError
from annotator.common.masks import rle_area, wire_to_rle

POINT = [{"x": 80.0, "y": 60.0, "label": 1}]


def test_status_lists_what_a_ready_backend_serves(backend):
    status = ml_client.backend_status()
    assert status.state == "ready"
    assert {"tiny", "other"} <= set(status.versions)


def test_status_of_an_absent_backend_says_how_to_start_it(no_backend):
    status = ml_client.backend_status()
    assert status.state == "away"
    assert "start it with" in status.reason


def test_click_answers_a_mask_of_the_image(tiny_barn, picture):
    image = picture(tiny_barn.project, 1)
    answer = ml_client.click(model_version="tiny", image=image, points=POINT)
    assert answer["model_version"] == "tiny"
    assert len(answer["candidates"]) == 3
    assert rle_area(wire_to_rle(answer["mask"], height_px=120, width_px=160)) >= 0


def test_click_outside_the_image_keeps_the_backends_own_code(tiny_barn, picture):
    image = picture(tiny_barn.project, 1)
    with pytest.raises(BackendError) as caught:
        ml_client.click(model_version="tiny", image=image, points=[{"x": 900.0, "y": 1.0, "label": 1}])
    assert (caught.value.code, caught.value.http_status) == ("outside_image", 422)


def test_unknown_version_is_named(tiny_barn, picture):
    with pytest.raises(BackendError, match="nobody") as caught:
        ml_client.click(model_version="nobody", image=picture(tiny_barn.project, 1), points=POINT)
    assert caught.value.code == "unknown_version"


def test_prediction_covers_all_concepts_with_one_feature(tiny_barn, picture):
    image = picture(tiny_barn.project, 1)
    (result,) = ml_client.predict(model_version="tiny", images=[image], concepts=["chicken", "duck"])
    assert [(name, one.taught) for name, one in result.concepts.items()] == [("chicken", True), ("duck", False)]
    assert all(0 <= one.presence <= 1 for one in result.concepts.values())
    assert np.frombuffer(result.feature, np.float16).size > 0


def test_absent_image_fails_alone(tiny_barn, picture):
    good, lost = picture(tiny_barn.project, 1), picture(tiny_barn.project, 2)
    lost.sha256 = "f" * 64
    first, second = ml_client.predict(model_version="tiny", images=[good, lost], concepts=["chicken"])
    assert (first.failure, "not in the image store" in second.failure) == ("", True)


def test_away_backend_says_that_drawing_still_works(no_backend, barn, picture):
    with pytest.raises(BackendError, match="draw by hand") as caught:
        ml_client.click(model_version="tiny", image=picture(barn.project, 1), points=POINT)
    assert caught.value.http_status == 503


@pytest.fixture
def answering(settings):
    """A backend that answers every POST with the given status and body."""
    servers = []

    def serve(body: str, status: int = 200) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *args) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        settings.MLBACKEND_URL = f"http://127.0.0.1:{server.server_port}"

    yield serve
    [server.shutdown() for server in servers]


def answer_for(image, **changes) -> str:
    mask = {"size": [120, 160], "crop_xywh": [0, 0, 2, 2], "counts": "04"}
    row = {"mask": mask, "score": 0.9} | changes
    version = changes.pop("model_version", "tiny")
    return json.dumps(row | {"model_version": version, "image": image.sha256, "candidates": [row]})


@pytest.mark.parametrize(
    "changes",
    [
        {"score": float("nan")},
        {"score": 7},
        {"score": None},
        {"mask": {"size": [160, 120], "crop_xywh": [0, 0, 2, 2], "counts": "04"}},
        {"mask": {"size": [120, 160], "crop_xywh": [150, 0, 20, 2], "counts": "04"}},
        {"mask": None},
        {"model_version": "other"},
    ],
)
def test_nonsense_in_a_click_is_refused(barn, picture, answering, changes):
    image = picture(barn.project, 1)
    answering(answer_for(image, **changes))
    with pytest.raises(BackendError) as caught:
        ml_client.click(model_version="tiny", image=image, points=POINT)
    assert (caught.value.code, caught.value.http_status) == ("backend_wrong_answer", 502)


@pytest.mark.parametrize(("body", "status"), [("<html>", 200), ("[]", 200), ("oops", 500)])
def test_answer_that_is_no_json_object_is_refused(barn, picture, answering, body, status):
    answering(body, status)
    with pytest.raises(BackendError) as caught:
        ml_client.click(model_version="tiny", image=picture(barn.project, 1), points=POINT)
    assert caught.value.http_status == 502


def test_wrong_token_is_no_matter_of_the_annotators_login(barn, picture, answering):
    answering('{"error": {"code": "unauthorised", "message": "Send the token."}}', 401)
    with pytest.raises(BackendError, match="ROOST_MLBACKEND_TOKEN") as caught:
        ml_client.click(model_version="tiny", image=picture(barn.project, 1), points=POINT)
    assert caught.value.http_status == 502
