"""As much of a Label Studio as the pull asks for, over HTTP; tests/backend/test_label_studio_real.py asks a real one.

Shapes are those of Label Studio 1.23.2: `completed_by` is a person in one task and a number in a list.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

TOKEN = "0123456789abcdef0123456789abcdef01234567"
CONTROLS = {
    "brush": {"type": "BrushLabels", "inputs": [{"type": "Image", "value": "image"}], "labels": ["Chicken", "Duck"]},
    "points": {"type": "KeyPointLabels", "inputs": [{"type": "Image", "value": "image"}], "labels": ["Goose"]},
}


@dataclass
class StandIn:
    """Its rows are plain dictionaries that a test may change; `asked` lists the paths that were asked for."""

    url: str = ""
    projects: dict[int, dict] = field(default_factory=dict)
    tasks: dict[int, dict] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    users: dict[int, str] = field(default_factory=lambda: {1: "owner@example.com"})
    asked: list[tuple[str, str]] = field(default_factory=list)
    failing: int = 0
    numbers: Any = field(default_factory=lambda: count(1))

    def add_project(self, controls: dict | None = None) -> int:
        number = next(self.numbers)
        made_at = f"2026-01-01T00:00:{number % 60:02d}.123456Z"
        row = {"id": number, "title": "Barn", "created_at": made_at, "parsed_label_config": controls or CONTROLS}
        self.projects[number] = row
        return number

    def add_task(self, project: int, data: bytes | None, *, name: str = "a.png") -> int:
        number = next(self.numbers)
        path = f"/data/upload/{project}/{number}-{name}"
        if data is not None:
            self.files[path] = data
        self.tasks[number] = {"id": number, "project": project, "data": {"image": path}, "annotations": []}
        return number

    def annotate(self, task: int, result: list[dict], *, by: int = 1, **fields: Any) -> int:
        number = next(self.numbers)
        row = {
            "id": number,
            "result": result,
            "completed_by": by,
            "was_cancelled": False,
            "ground_truth": False,
            "lead_time": 3.5,
            "updated_at": f"2026-02-01T00:00:{number % 60:02d}Z",
        }
        self.tasks[task]["annotations"].append(row | fields)
        return number

    def annotation(self, task: int, number: int) -> dict:
        return next(row for row in self.tasks[task]["annotations"] if row["id"] == number)


def brush(mask_HW: np.ndarray, label: str = "Chicken", **fields: Any) -> dict:
    """A region as the editor saves it, encoded by Label Studio's own codec."""
    from label_studio_sdk.converter.brush import mask2rle

    height, width = mask_HW.shape
    rle = mask2rle(mask_HW.astype(np.uint8) * 255)
    region = {
        "id": "r" * 10,
        "from_name": "brush",
        "to_name": "img",
        "type": "brushlabels",
        "origin": "manual",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": rle, "brushlabels": [label]},
    }
    return region | fields


@contextmanager
def running_stand_in() -> Iterator[StandIn]:
    studio = StandIn()

    class Handler(_Handler):
        world = studio

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    studio.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield studio
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    world: StandIn

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        self.world.asked.append((target.path, self.headers.get("Authorization", "")))
        if self.world.failing:
            return self._answer(self.world.failing, {"detail": "down"})
        if self.headers.get("Authorization") != f"Token {TOKEN}":
            return self._answer(401, {"detail": "Invalid token."})
        if target.path in self.world.files:
            return self._answer(200, self.world.files[target.path])
        return self._answer(*self._found(target.path.strip("/").split("/")[1:], parse_qs(target.query)))

    def _found(self, path: list[str], query: dict[str, list[str]]) -> tuple[int, Any]:
        match path:
            case ["projects", number] if int(number) in self.world.projects:
                return 200, self.world.projects[int(number)]
            case ["tasks", number] if int(number) in self.world.tasks:
                row = self.world.tasks[int(number)]
                return 200, row | {"annotations": [self._with_person(one) for one in row["annotations"]]}
            case ["tasks"]:
                return 200, self._page(query)
            case ["users"]:
                return 200, [{"id": number, "email": email} for number, email in self.world.users.items()]
        return 404, {"detail": "Not found."}

    def _with_person(self, annotation: dict) -> dict:
        number = annotation["completed_by"]
        return annotation | {"completed_by": {"id": number, "email": self.world.users.get(number, "")}}

    def _page(self, query: dict[str, list[str]]) -> dict:
        wanted = json.loads(query["query"][0])
        (least,) = wanted["filters"]["items"]
        assert (least["filter"], least["operator"], wanted["ordering"]) == ("filter:tasks:id", "greater", ["tasks:id"])
        project, size = int(query["project"][0]), int(query["page_size"][0])
        later = [
            row
            for number, row in sorted(self.world.tasks.items())
            if row["project"] == project and number > least["value"]
        ]
        return {"tasks": later[:size], "total": len(later), "total_annotations": 0, "total_predictions": 0}

    def _answer(self, status: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "image/png" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
