"""Where Roost asks on somebody's word, it reaches only what was allowed, and takes no more than it can hold."""

import ipaddress
import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from annotator.common.checked_http import ForbiddenAddress, TooMuch, checked_client

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.headers["Host"].encode().ljust(1000))

    def log_message(self, *args):
        pass


@contextmanager
def server(certificate=None):
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        running.socket = context.wrap_socket(running.socket, server_side=True)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield running.server_port
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


@pytest.fixture(scope="module")
def port():
    with server() as number:
        yield number


def client(networks=LOOPBACK, max_bytes=10_000):
    return checked_client(networks=networks, max_bytes=max_bytes)


def test_allowed_network_is_reached_under_its_own_name(port):
    answer = client().get(f"http://localhost:{port}/")
    assert answer.text.strip() == f"localhost:{port}"
    assert str(answer.request.url) == f"http://localhost:{port}/"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]"])
def test_private_address_is_refused_however_it_is_written(port, host):
    with pytest.raises(ForbiddenAddress):
        client(networks=[]).get(f"http://{host}:{port}/")


def test_name_that_answers_differently_later_is_connected_to_as_it_was_checked(port, monkeypatch):
    """The second answer would lead to port 1 of another machine; it is never asked for."""
    import socket

    row, asked = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM), []

    def names(host, *args, **more):
        asked.append(host)
        return row if host == "rebinding.example" else real(host, *args, **more)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", names)
    assert client().get(f"http://rebinding.example:{port}/").status_code == 200
    assert asked.count("rebinding.example") == 1


def test_redirect_is_not_followed(port):
    assert client().get(f"http://localhost:{port}/elsewhere").status_code == 302


def test_answer_that_is_too_large_is_cut_off(port):
    with pytest.raises(TooMuch, match="larger than 999 bytes"):
        client(max_bytes=999).get(f"http://localhost:{port}/")


def test_proxies_of_the_environment_are_passed_by(port, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert client().get(f"http://localhost:{port}/").status_code == 200


def test_certificate_is_asked_of_the_name_and_not_of_the_address(tmp_path, monkeypatch):
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    pem = tmp_path / "both.pem"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    options += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(pem), "-out", str(tmp_path / "c.pem")]
    subprocess.run(["openssl", "req", *options], check=True, capture_output=True)
    pem.write_text(pem.read_text() + (tmp_path / "c.pem").read_text())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c.pem"))
    with server(pem) as port:
        assert client().get(f"https://localhost:{port}/").status_code == 200
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            client().get(f"https://127.0.0.1:{port}/")
