"""Addresses as Label Studio writes them and browsers open them, and the redirect to presigned storage.

f01, f02, k08 are the names of the cases from which these began: inputs that once failed, and one that must stay right.
"""

from __future__ import annotations

import functools
import http.server
import ipaddress
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from mlbackend.errors import ApiError
from mlbackend.label_studio.fetch import Fetcher, FetchRules

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@dataclass
class Site:
    """A file server on the loopback address; `moved`: path -> where it redirects to."""

    port: int = 0
    moved: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def _served(root: Path) -> tuple[Site, http.server.ThreadingHTTPServer]:
    site = Site()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            site.seen.append((self.path, self.headers.get("Authorization")))
            if location := site.moved.get(self.path):
                self.send_response(303)
                self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(root)))
    site.port = server.server_address[1]
    return site, server


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    """Label Studio, and a storage beside it."""
    started = [_served(tmp_path), _served(tmp_path)]
    threads = [threading.Thread(target=server.serve_forever) for _, server in started]
    for thread in threads:
        thread.start()
    yield started[0][0], started[1][0]
    for (_, server), thread in zip(started, threads, strict=True):
        server.shutdown()
        server.server_close()
        thread.join()


def _put(root: Path, name: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"picture")


def _fetcher(site: Site, *, below: str = "", storage: Site | None = None) -> Fetcher:
    hosts = frozenset({f"127.0.0.1:{storage.port}"} if storage else ())
    return Fetcher(FetchRules(base_url=site.url + below, hosts=hosts, networks=LOOPBACK, token="legacy"))


@pytest.mark.parametrize(
    ("served", "address"),
    [
        ("my hen.jpg", "/my hen.jpg"),
        ("my hen.jpg", "http://127.0.0.1:PORT/my hen.jpg"),
        ("Hühner.jpg", "/Hühner.jpg"),
        ("Hühner.jpg", "http://127.0.0.1:PORT/H%C3%BChner.jpg"),
        ("100%.jpg", "/100%.jpg"),
        ("a+b [1] & c,d;e='x'.jpg", "/a+b [1] & c,d;e='x'.jpg"),
        ("😀.jpg", "/😀.jpg"),
        ("sub/a.jpg", "/sub\\a.jpg"),
        ("a.jpg", " /a.jpg\n"),
    ],
)
def test_f01_addresses_that_a_browser_opens(tmp_path, sites, served, address):
    _put(tmp_path, served)
    assert _fetcher(sites[0]).fetch(address.replace("PORT", str(sites[0].port))) == b"picture"


@pytest.mark.parametrize(
    ("below", "address", "asked"),
    [
        ("/label-studio", "/label-studio/data/upload/1/a.jpg", "/label-studio/data/upload/1/a.jpg"),
        ("/label-studio/", "/label-studio/data/upload/1/a.jpg", "/label-studio/data/upload/1/a.jpg"),
        ("/label-studio", "/data/upload/1/a.jpg", "/label-studio/data/upload/1/a.jpg"),
        ("/label-studio", "/label-studio-2/a.jpg", "/label-studio/label-studio-2/a.jpg"),
        ("/data", "/data/upload/1/a.jpg", "/data/data/upload/1/a.jpg"),
        ("/data", "/data/data/upload/1/a.jpg", "/data/data/upload/1/a.jpg"),
        ("/a/b", "/a/b/data/local-files/?d=x/c d.jpg", "/a/b/data/local-files/?d=x/c%20d.jpg"),
    ],
)
def test_f02_label_studio_below_a_path(tmp_path, sites, below, address, asked):
    _put(tmp_path, asked.strip("/").partition("?")[0] + ("index.html" if "?" in asked else ""))
    assert _fetcher(sites[0], below=below).fetch(address) == b"picture"
    assert sites[0].seen == [(asked, "Token legacy")]


def test_k08_control_fetch(tmp_path, sites):
    _put(tmp_path, "data/upload/1/a b.jpg")
    assert _fetcher(sites[0]).fetch("/data/upload/1/a%20b.jpg") == b"picture"


def test_presigned_storage_that_is_listed_is_followed_without_the_token(tmp_path, sites):
    studio, storage = sites
    _put(tmp_path, "bucket/Hühner 1.jpg")
    signed = f"/bucket/{quote('Hühner 1.jpg')}?X-Amz-Signature=s3cret"
    studio.moved["/tasks/7/resolve/?fileuri=czM6"] = storage.url + signed
    assert _fetcher(studio, storage=storage).fetch("/tasks/7/resolve/?fileuri=czM6") == b"picture"
    assert (studio.seen, storage.seen) == (
        [("/tasks/7/resolve/?fileuri=czM6", "Token legacy")],
        [(signed, None)],
    )


def _refusal(fetcher: Fetcher, address: str) -> str:
    with pytest.raises(ApiError) as refused:
        fetcher.fetch(address)
    assert refused.value.code == "unreachable_image"
    return refused.value.message


def test_redirect_to_a_host_that_is_not_listed_is_not_followed(sites):
    studio, storage = sites
    studio.moved["/a.jpg"] = storage.url + "/b.jpg?sig=s3cret"
    reason = _refusal(_fetcher(studio), "/a.jpg")
    assert "redirect that is not followed: '127.0.0.1' is not among ROOST_LS_HOSTS" in reason
    assert "s3cret" not in reason
    assert storage.seen == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://user:pw@127.0.0.1/a", "http://[bad/", "//evil/x"])
def test_redirect_by_a_trick_is_not_followed(sites, location):
    sites[0].moved["/a.jpg"] = location
    assert "redirect that is not followed" in _refusal(_fetcher(sites[0]), "/a.jpg")


def test_redirect_of_a_redirect_is_an_error(sites):
    studio, storage = sites
    studio.moved["/a.jpg"] = storage.url + "/b.jpg"
    storage.moved["/b.jpg"] = storage.url + "/c.jpg"
    assert "answered 303 (a redirect" in _refusal(_fetcher(studio, storage=storage), "/a.jpg")
    assert [path for path, _ in storage.seen] == ["/b.jpg"]


def test_redirect_to_a_private_network_is_not_connected_to(sites):
    studio, storage = sites
    hosts = frozenset({f"localhost:{storage.port}"})
    studio.moved["/a.jpg"] = f"http://localhost:{storage.port}/b.jpg"
    networks = (ipaddress.ip_network("127.0.0.1/32"),)
    ipv6_too = Fetcher(FetchRules(base_url=studio.url, hosts=hosts, networks=networks))
    _refusal(ipv6_too, "/a.jpg")  # there is no such file
    assert len(storage.seen) == 1
    studio.moved["/a.jpg"] = "http://169.254.169.254/latest/meta-data"
    listed = Fetcher(FetchRules(base_url=studio.url, hosts=frozenset({"169.254.169.254"}), networks=networks))
    assert "private network" in _refusal(listed, "/a.jpg")


def test_redirect_to_the_log_in_asks_for_a_token(sites):
    sites[0].moved["/data/a.jpg"] = "/user/login/?next=/data/a.jpg"
    assert "set ROOST_LS_TOKEN" in _refusal(_fetcher(sites[0]), "/data/a.jpg")
