"""An address before the real ML backend, so that a test can make it slow, busy or broken for some calls."""

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFUSALS = {
    429: b'{"error": {"code": "overloaded", "message": "Full."}}',
    500: b'{"error": {"code": "internal", "message": "Broken."}}',
}


class Door:
    """`calls`: the bodies of the predictions, or masks in boxes, that were asked for."""

    def __init__(self, url: str) -> None:
        self.url, self.calls = url, []


@contextmanager
def backend_door(
    url: str, *, wait_seconds: float = 0.0, status: Callable[[int], int] = lambda call: 200
) -> Iterator[Door]:
    """Pass POSTs on to the backend at `url`; the n-th prediction waits, and is refused unless status(n) is 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith(("/predict", "/boxes")):
                door.calls.append(body)
                time.sleep(wait_seconds)
                if (refused := status(len(door.calls))) != 200:
                    return self._send(refused, REFUSALS[refused])
            answer = urllib.request.urlopen(urllib.request.Request(url + self.path, body)).read()
            return self._send(200, answer)

        def _send(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    door = Door(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield door
    finally:
        server.shutdown()
        server.server_close()
