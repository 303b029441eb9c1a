"""Images by URL: allowed hosts, addresses checked, failures are errors."""

from __future__ import annotations

import http.server
import ipaddress
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from mlbackend.errors import ApiError
from mlbackend.label_studio.fetch import Fetcher, FetchRules

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@dataclass
class Site:
    """A real server on the loopback address that records what it was asked."""

    port: int = 0
    seen: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.seen.append((self.path, self.headers.get("Authorization")))
            status = {"/missing": 404, "/moved": 302, "/denied": 401}.get(self.path.partition("?")[0], 200)
            body = {"/large": b"x" * 2_000}.get(self.path, b"picture")
            self.send_response(status)
            self.send_header("Location", "http://localhost:1/elsewhere")
            self.send_header("Content-Length", str(len(body) + (50 if self.path == "/short" else 0)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            site.seen.append((self.path, self.rfile.read(length).decode()))
            answer = b'{"access": "short-lived"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


def fetcher(site: Site, **rules: object) -> Fetcher:
    return Fetcher(FetchRules(**({"hosts": frozenset({f"localhost:{site.port}"}), "networks": LOOPBACK} | rules)))


def reason(fetch: Fetcher, url: str) -> str:
    with pytest.raises(ApiError) as refusal:
        fetch.fetch(url)
    assert (refusal.value.status, refusal.value.code) == (422, "unreachable_image")
    return refusal.value.message


def test_allowed_host_is_fetched(site: Site) -> None:
    assert fetcher(site).fetch(site.url + "/a.png") == b"picture"


def test_private_address_of_an_allowed_name_is_refused_unless_its_network_is_named(site: Site) -> None:
    assert "private network" in reason(fetcher(site, networks=()), site.url + "/a.png")
    assert site.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example/a.png",
        "http://127.0.0.1/a.png",
        "http://0x7f000001/",
        "http://[::1]/",
        "http://2130706433/",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost:1/other-port",
        "http://localhost/",
    ],
)
def test_hosts_outside_the_list_are_refused(site: Site, url: str) -> None:
    assert "not among ROOST_LS_HOSTS" in reason(fetcher(site), url)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://localhost/x",
        "http://user:pw@localhost/x",
        "//localhost/x",
        "gopher://localhost",
        "http://",
        "s3://bucket/key",
        "data:image/png;base64,AA==",
        "../../x",
        "http://[bad/",
    ],
)
def test_other_schemes_and_tricks_are_refused(site: Site, url: str) -> None:
    reason(fetcher(site), url)
    assert site.seen == []


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
        "192.168.1.1",
        "0.0.0.0",
        "fd00::1",
        "fe80::1",
        "100.64.0.1",
        "224.0.0.1",
    ],
)
def test_addresses_that_are_not_public_are_not_connected_to(address: str) -> None:
    assert not Fetcher(FetchRules())._is_allowed(address)


def test_the_address_that_was_checked_is_the_one_connected_to(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers differently the second time (rebinding) is not asked a second time."""
    answers = [
        [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", site.port))],
        [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 1))],
    ]
    real = socket.getaddrinfo

    def resolve(host, *arguments, **options):
        return answers.pop(0) if host == "rebinding.example" else real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    allowed = fetcher(site, hosts=frozenset({f"rebinding.example:{site.port}"}))
    assert allowed.fetch(f"http://rebinding.example:{site.port}/a.png") == b"picture"
    assert len(answers) == 1


def test_redirect_is_an_error_and_not_followed(site: Site) -> None:
    assert "redirect" in reason(fetcher(site), site.url + "/moved")
    assert [path for path, _ in site.seen] == ["/moved"]


@pytest.mark.parametrize("path", ["/missing", "/short", "/denied?signature=s3cret"])
def test_failure_is_an_error_without_the_query_in_it(site: Site, path: str) -> None:
    assert "s3cret" not in reason(fetcher(site), site.url + path)


def test_size_is_limited_while_reading(site: Site) -> None:
    assert "larger than 1000 bytes" in reason(fetcher(site, max_bytes=1_000), site.url + "/large")


def test_relative_path_needs_the_servers_address(site: Site) -> None:
    assert "set ROOST_LS_URL" in reason(fetcher(site), "/data/upload/1/a.png")
    assert fetcher(site, base_url=site.url, hosts=frozenset()).fetch("/data/upload/1/a.png") == b"picture"


def test_token_goes_to_label_studio_alone(site: Site) -> None:
    both = fetcher(site, base_url="http://localhost:1", token="legacy")
    both.fetch(site.url + "/a.png")
    own = fetcher(site, base_url=site.url, token="legacy")
    own.fetch("/a.png")
    assert [token for _, token in site.seen] == [None, "Token legacy"]


def test_personal_access_token_is_exchanged_once(site: Site) -> None:
    own = fetcher(site, base_url=site.url, token="a.b.c")
    own.fetch("/a.png")
    own.fetch("/b.png")
    assert site.seen == [
        ("/api/token/refresh", '{"refresh": "a.b.c"}'),
        ("/a.png", "Bearer short-lived"),
        ("/b.png", "Bearer short-lived"),
    ]
