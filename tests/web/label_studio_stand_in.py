"""As much of a Label Studio as pull and push ask for, over HTTP; tests/backend/test_label_studio_real.py and
test_label_studio_push_real.py ask a real one.

Shapes are those of Label Studio 1.23.2: `completed_by` is a person in one task and a number in a list.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import numpy as np

TOKEN = "0123456789abcdef0123456789abcdef01234567"
CONTROLS = {
    "brush": {"type": "BrushLabels", "inputs": [{"type": "Image", "value": "image"}], "labels": ["Chicken", "Duck"]},
    "points": {"type": "KeyPointLabels", "inputs": [{"type": "Image", "value": "image"}], "labels": ["Goose"]},
}


@dataclass
class Fault:
    method: str
    path: str
    status: int
    after: bool
    headers: dict[str, str]
    skip: int


@dataclass
class StandIn:
    """Its rows are plain dictionaries that a test may change; `asked` lists the paths that were asked for."""

    url: str = ""
    projects: dict[int, dict] = field(default_factory=dict)
    tasks: dict[int, dict] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[int, tuple[int, str]] = field(default_factory=dict)
    users: dict[int, str] = field(default_factory=lambda: {1: "owner@example.com"})
    asked: list[tuple[str, str]] = field(default_factory=list)
    failing: int = 0
    faults: list["Fault"] = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: count(1))

    def fault(
        self, method: str, path: str, status: int, *, after: bool = False, skip: int = 0, times: int = 1, **headers: str
    ) -> None:
        """Answer such calls with this status, once `skip` of them went through; `after`: when it has done its work."""
        self.faults += [Fault(method, path, status, after, headers, skip) for _ in range(times)]

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


def parsed(config: str) -> dict[str, dict]:
    """As Label Studio reads the controls of a labelling interface."""
    root = ElementTree.fromstring(config)
    image = root.find("Image").attrib
    inputs = [{"type": "Image", "value": image["value"].removeprefix("$")}]
    return {
        one.attrib["name"]: {
            "type": one.tag,
            "to_name": [one.attrib["toName"]],
            "inputs": inputs,
            "labels": [label.attrib["value"] for label in one],
        }
        for one in root
        if "toName" in one.attrib
    }


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
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PATCH(self) -> None:
        self._serve("PATCH")

    def _serve(self, method: str) -> None:
        target = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.world.asked.append((target.path, self.headers.get("Authorization", "")))
        if self.world.failing:
            return self._answer(self.world.failing, {"detail": "down"})
        if self.headers.get("Authorization") != f"Token {TOKEN}":
            return self._answer(401, {"detail": "Invalid token."})
        fault = self._fault(method, target.path)
        if fault is not None and not fault.after:
            return self._answer(fault.status, {"detail": "not now"}, fault.headers)
        if method == "GET" and target.path in self.world.files:
            return self._answer(200, self.world.files[target.path])
        path, query = target.path.strip("/").split("/")[1:], parse_qs(target.query)
        answer = self._found(path, query) if method == "GET" else self._written(method, path, body)
        if fault is not None:
            return self._answer(fault.status, {"detail": "the answer is lost"}, fault.headers)
        return self._answer(*answer)

    def _fault(self, method: str, path: str) -> Fault | None:
        fitting = [one for one in self.world.faults if one.method == method and one.path in path]
        due = next((one for one in fitting if not one.skip), None)
        if due is not None and due is fitting[0]:
            self.world.faults.remove(due)
            return due
        for one in fitting:
            one.skip -= 1
        return None

    def _written(self, method: str, path: list[str], body: bytes) -> tuple[int, Any]:
        if "multipart" in self.headers.get("Content-Type", ""):
            return 201, {"file_upload_ids": self._uploaded(int(path[1]), body)}
        said = json.loads(body)
        match method, path:
            case "POST", ["projects"]:
                number = self.world.add_project(parsed(said["label_config"]))
                self.world.projects[number] |= said
                return 201, self.world.projects[number]
            case "PATCH", ["projects", number]:
                row = self.world.projects[int(number)]
                row |= said | {"parsed_label_config": parsed(said["label_config"])}
                return 200, row
            case "POST", ["projects", number, "import"]:
                return 201, {"task_count": len([self._imported(int(number), one) for one in said])}
            case "POST", ["tasks", number, "annotations"]:
                return 201, self.world.annotation(int(number), self.world.annotate(int(number), said["result"]))
            case "PATCH", ["annotations", number]:
                rows = [row for task in self.world.tasks.values() for row in task["annotations"]]
                row = next(row for row in rows if row["id"] == int(number))
                row |= said
                return 200, row
            case "PATCH", ["tasks", number]:
                self.world.tasks[int(number)] |= said
                return 200, self.world.tasks[int(number)]
        return 404, {"detail": "Not found."}

    def _imported(self, project: int, said: dict) -> None:
        task = self.world.add_task(project, None)
        self.world.tasks[task]["data"] = said["data"]
        for one in said.get("annotations", ()):
            self.world.annotate(task, one["result"], ground_truth=one.get("ground_truth", True))

    def _uploaded(self, project: int, body: bytes) -> list[int]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        numbers = []
        for part in message_from_bytes(head + body, policy=HTTP).iter_parts():
            number = next(self.world.numbers)
            path = f"upload/{project}/{number:08}-{part.get_filename()}"
            self.world.files[f"/data/{path}"] = part.get_payload(decode=True)
            self.world.uploads[number] = (project, path)
            numbers.append(number)
        return numbers

    def _found(self, path: list[str], query: dict[str, list[str]]) -> tuple[int, Any]:
        match path:
            case ["projects", number] if int(number) in self.world.projects:
                return 200, self.world.projects[int(number)]
            case ["tasks", number] if int(number) in self.world.tasks:
                row = self.world.tasks[int(number)]
                return 200, row | {"annotations": [self._with_person(one) for one in row["annotations"]]}
            case ["tasks"]:
                return 200, self._page(query)
            case ["projects", number, "file-uploads"]:
                wanted = json.loads(query.get("ids", ["[]"])[0])
                rows = [(one, file) for one, (of, file) in self.world.uploads.items() if of == int(number)]
                return 200, [{"id": one, "file": file} for one, file in rows if "all" in query or one in wanted]
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
        if query["fields"] == ["task_only"]:
            later = [
                {"id": row["id"], "data": row["data"], "total_annotations": len(row["annotations"])} for row in later
            ]
        return {"tasks": later[:size], "total": len(later), "total_annotations": 0, "total_predictions": 0}

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "image/png" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)
