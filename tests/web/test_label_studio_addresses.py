"""The web side fetches the same addresses as the ML backend (tests/backend/test_fetch_addresses.py), by its rules."""

import functools
import http.server
import threading

import pytest

from annotator.label_studio.client import LabelStudioClient, LabelStudioImageError


@pytest.fixture
def served(tmp_path, settings):
    """A Label Studio below a path, and a storage on another port that it redirects to."""
    seen: list[tuple[str, str | None]] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            if self.path.startswith("/ls/tasks/"):
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.1:{ports[1]}/bucket/a.jpg?sig=s3cret")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=str(tmp_path))
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    ports = [server.server_address[1] for server in servers]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    settings.LABEL_STUDIO_URL = f"http://127.0.0.1:{ports[0]}/ls"
    settings.LABEL_STUDIO_TOKEN = "legacy"
    settings.LABEL_STUDIO_NETWORKS = ["127.0.0.0/8"]
    settings.LABEL_STUDIO_HOSTS = frozenset({f"127.0.0.1:{ports[1]}"})
    yield seen
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("address", ["/ls/data/Hühner 1.jpg", "/data/Hühner 1.jpg", "/data/H%C3%BChner%201.jpg"])
def test_f02_label_studio_below_a_path_with_spaces_and_umlauts(tmp_path, served, address):
    (tmp_path / "ls/data").mkdir(parents=True)
    (tmp_path / "ls/data/Hühner 1.jpg").write_bytes(b"picture")
    assert LabelStudioClient().image(address).read() == b"picture"


def test_presigned_storage_is_followed_without_the_token(tmp_path, served):
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket/a.jpg").write_bytes(b"picture")
    assert LabelStudioClient().image("/tasks/7/resolve/?fileuri=czM6").read() == b"picture"
    assert served == [("/ls/tasks/7/resolve/?fileuri=czM6", "Token legacy"), ("/bucket/a.jpg?sig=s3cret", None)]


def test_storage_that_is_not_listed_is_named_and_not_asked(served, settings):
    settings.LABEL_STUDIO_HOSTS = frozenset()
    with pytest.raises(LabelStudioImageError, match=r"redirect that is not followed.*127.0.0.1.*ROOST_LS_HOSTS"):
        LabelStudioClient().image("/tasks/7/resolve/?fileuri=czM6")
    assert len(served) == 1
