"""A model hub on loopback, with as much of HTTP as a download of the real one uses: lists, HEAD, GET with Range."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


class Hub:
    """One gated repository. `cut`: names of files whose next download breaks off half-way."""

    def __init__(self, repository: str, folder: Path, token: str) -> None:
        self.repository, self.folder, self.token = repository, folder, token
        self.licence_accepted = True
        self.cut: set[str] = set()
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, Range
        self.url = ""

    def downloads(self) -> list[str]:
        return [path.rsplit("/", 1)[-1] for method, path, _ in self.requests if method == "GET" and "/resolve/" in path]


@contextmanager
def hub_served(hub: Hub) -> Iterator[Hub]:
    server = _Server(hub)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path, self.headers.get("Range")))
        listing = f"/api/models/{hub.repository}"
        files = f"/{hub.repository}/resolve/"
        if not path.startswith((listing, files)):
            self._send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"}, with_body)
        elif path.startswith(files) and self.headers.get("Authorization") != f"Bearer {hub.token}":
            words = f"Access to model {hub.repository} is restricted. Please log in."
            self._send(401, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": words}, with_body)
        elif path.startswith(files) and not hub.licence_accepted:
            words = f"Access to model {hub.repository} is restricted and you are not in the authorized list."
            self._send(403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": words}, with_body)
        elif path.startswith(listing):
            self._list(path, with_body)
        else:
            self._file(path.removeprefix(files).split("/", 1)[1], with_body)

    def _list(self, path: str, with_body: bool) -> None:
        hub = self.server.hub
        names = sorted(file.name for file in hub.folder.iterdir())
        if "/tree/" in path:
            rows = [
                {
                    "type": "file",
                    "path": name,
                    "size": (hub.folder / name).stat().st_size,
                    "oid": _etag(hub.folder / name),
                }
                for name in names
            ]
            self._send(200, json.dumps(rows).encode(), {"X-Repo-Commit": COMMIT}, with_body)
            return
        info = {
            "id": hub.repository,
            "modelId": hub.repository,
            "sha": COMMIT,
            "private": False,
            "gated": "manual",
            "tags": [],
            "downloads": 0,
            "siblings": [{"rfilename": name} for name in names],
        }
        self._send(200, json.dumps(info).encode(), {"X-Repo-Commit": COMMIT}, with_body)

    def _file(self, name: str, with_body: bool) -> None:
        hub = self.server.hub
        path = hub.folder / name
        if not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, with_body)
            return
        data = path.read_bytes()
        headers = {"ETag": f'"{_etag(path)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        asked = self.headers.get("Range", "")
        first = int(asked.removeprefix("bytes=").split("-")[0]) if asked.startswith("bytes=") else 0
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self._send(206 if first else 200, data[first:], headers, with_body, cut=with_body and name in hub.cut)
        if with_body:
            hub.cut.discard(name)

    def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
