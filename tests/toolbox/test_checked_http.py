"""What both towers' fetches promise beyond their own tests: time from the start, no cookies, nothing compressed."""

import gzip
import ipaddress
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

from toolbox.checked_http import AddressRule, Limits, TooMuch, TooSlow, client_within

LOOPBACK = AddressRule((ipaddress.ip_network("127.0.0.0/8"),))


@contextmanager
def answering(*parts: bytes, pause_s: float = 0.0):
    """A port that sends these bytes to whoever asks, a pause before each, and what it was asked."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        asked: list[bytes] = []
        thread = threading.Thread(target=_serve, args=(listening, parts, pause_s, asked), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/", asked
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def _serve(listening, parts, pause_s, asked):
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            asked.append(connection.recv(65_536))
            try:
                for part in parts:
                    time.sleep(pause_s)
                    connection.sendall(part)
            except OSError:
                continue


def client(*, deadline_s: float = 30.0, max_bytes: int = 10_000) -> httpx.Client:
    return client_within(LOOPBACK, Limits(max_bytes, connect_s=5, read_s=5, deadline_s=deadline_s))


def test_answer_that_drips_is_cut_off_by_the_clock_though_no_silence_is_long():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"
    with answering(head, *[b"x"] * 50, pause_s=0.1) as (url, _), pytest.raises(TooSlow):
        client(deadline_s=0.5).get(url)


def test_time_until_the_answer_begins_counts_too():
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    with answering(whole, pause_s=0.5) as (url, _), pytest.raises(TooSlow):
        client(deadline_s=0.2).get(url)


def test_compressed_answer_is_refused_since_little_may_become_much():
    body = gzip.compress(bytes(1_000_000))
    assert len(body) < 10_000
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    with answering(head.encode() + body) as (url, asked), pytest.raises(TooMuch, match="compressed"):
        client().get(url)
    assert b"Accept-Encoding: identity" in asked[0]


def test_cookies_are_neither_kept_nor_sent_back():
    whole = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=secret; Path=/\r\nContent-Length: 1\r\n\r\nx"
    with answering(whole) as (url, asked), client() as asking:
        asking.get(url)
        asking.get(url)
    assert len(asked) == 2
    assert b"cookie" not in asked[1].lower()


def test_second_address_of_a_name_is_tried_where_the_first_does_not_listen(monkeypatch):
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    with answering(whole) as (url, _):
        port = httpx.URL(url).port
        rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.9", "127.0.0.1")]
        real = socket.getaddrinfo
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *more, **options: rows if host == "two.example" else real(host, *more)
        )
        assert client().get(f"http://two.example:{port}/").text == "x"
