"""docs/contracts.md names the fields of the native API's requests: what is sent, and what is looked at."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from annotator import ml_client
from annotator.common.errors import BackendError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "contracts.md"
IMAGE = SimpleNamespace(sha256="0" * 64, width=160, height=120)
POINT = {"x": 80, "y": 60, "label": 1}
BOX = {"box": [1, 1, 9, 9], "label": 1}
REF = {"model_version": "tiny", "image": IMAGE}
CALLS = {
    "/v1/click": lambda: ml_client.click(**REF, points=[POINT]),
    "/v1/predict": lambda: ml_client.predict(model_version="tiny", images=[IMAGE], concepts=["hen"], exemplars=[[BOX]]),
    "/v1/boxes": lambda: ml_client.boxes(model_version="tiny", boxed=[(IMAGE, [[1, 1, 9, 9]])]),
    "/v1/mask": lambda: ml_client.mask_at(image=IMAGE, mask_id="a", threshold=0.5),
    "/v1/warm": lambda: ml_client.warm(model_version="tiny", images=[IMAGE.sha256]),
}


def fields_on_the_page() -> dict[str, set[str]]:
    """Of the table's rows with a body: the names at its first depth."""
    rows = re.findall(r"^\| `POST (/v1/\w+)` \| `\{(.*?)\}` \|", PAGE.read_text(), re.MULTILINE)
    return {path: set(re.findall(r'(?:^|,)\s*"(\w+)"', _without_depths(body))) for path, body in rows}


def _without_depths(body: str) -> str:
    """Lists and objects inside it are cut out, the innermost first."""
    while (shorter := re.sub(r"\[[^][{}]*\]|\{[^][{}]*\}", "", body)) != body:
        body = shorter
    return body


@pytest.fixture
def sent(settings) -> Iterator[dict[str, dict]]:
    """Bodies by path, as they went over the wire to a server that refuses them all."""
    bodies: dict[str, dict] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies[self.path] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = b'{"error": {"code": "overloaded", "message": "Full."}}'
            self.send_response(429)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.MLBACKEND_URL = f"http://127.0.0.1:{server.server_port}"
    yield bodies
    server.shutdown()
    server.server_close()


def test_page_names_what_the_web_side_sends_and_nothing_else(sent):
    for call in CALLS.values():
        with pytest.raises(BackendError, match="Full"):
            call()
    assert {path: set(body) for path, body in sent.items()} == fields_on_the_page()


@pytest.mark.parametrize("path", sorted(CALLS))
def test_backend_looks_at_every_field_that_the_page_names(sent, backend_process, path):
    with pytest.raises(BackendError, match="Full"):
        CALLS[path]()
    for name in fields_on_the_page()[path]:
        refused = backend_process.post(path, sent[path] | {name: {"no": "such"}}, expected=400)
        assert refused["error"]["code"] == "bad_request"
        assert name in refused["error"]["message"], refused
