"""Images by URL for Label Studio: allowed hosts alone, and the address is checked on the connection itself.

A name is resolved once and that very address is connected to, so that a second answer of the name server (rebinding)
can't lead elsewhere. Redirects are not followed. A failure is an error, never an empty image.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from mlbackend.errors import ApiError

TIMEOUT_S = 10.0
DEADLINE_S = 30.0
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class FetchRules:
    """base_url: the Label Studio that relative paths belong to, and the only host that is sent the token.

    hosts: further names that may be fetched from. networks: non-public addresses (loopback, 10.0.0.0/8, ...) that are
    allowed all the same.
    """

    base_url: str | None = None
    hosts: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    token: str | None = None
    max_bytes: int = 64 * 1024 * 1024


class Fetcher:
    """Thread-safe."""

    def __init__(self, rules: FetchRules) -> None:
        self._rules = rules
        self._lock = threading.Lock()
        self._access: tuple[str, float] | None = None

    def fetch(self, url: str) -> bytes:
        """The image's bytes; ApiError `unreachable_image` with the reason."""
        target = self._target(url)
        # Label Studio answers 406 to anything narrower than */*.
        headers = {"Accept": "*/*", "User-Agent": "roost-mlbackend"}
        if self._rules.token and self._is_label_studio(target):
            headers["Authorization"] = self._authorization(target)
        status, body = self._request("GET", target, headers)
        if status != 200:
            raise refused(f"{_shown(target)} answered {status}" + _hint(status))
        return body

    def _target(self, url: str) -> SplitResult:
        if url.startswith("/") and not url.startswith("//"):
            if not self._rules.base_url:
                raise refused("the task holds a path of its Label Studio: set ROOST_LS_URL to that server's address")
            url = self._rules.base_url.rstrip("/") + url
        try:
            target = urlsplit(url)
            _ = target.port
        except ValueError:
            raise refused("the address is not valid") from None
        if target.scheme not in ("http", "https") or not target.hostname or target.username or target.password:
            raise refused("only plain http and https addresses are fetched")
        if not (self._is_label_studio(target) or _names(target) & self._rules.hosts):
            raise refused(f"'{target.hostname}' is not among ROOST_LS_HOSTS")
        return target

    def _is_label_studio(self, target: SplitResult) -> bool:
        if not self._rules.base_url:
            return False
        base = urlsplit(self._rules.base_url)
        return (target.scheme, target.hostname, _port(target)) == (base.scheme, base.hostname, _port(base))

    def _authorization(self, target: SplitResult) -> str:
        """A legacy token as it is; a personal access token (a JWT) is exchanged for a short-lived one."""
        token = self._rules.token or ""
        if token.count(".") != 2:
            return f"Token {token}"
        with self._lock:
            if self._access is None or self._access[1] < time.monotonic():
                self._access = (self._refresh(target, token), time.monotonic() + 120)
            return f"Bearer {self._access[0]}"

    def _refresh(self, target: SplitResult, token: str) -> str:
        refresh = target._replace(path="/api/token/refresh", query="", fragment="")
        status, body = self._request(
            "POST", refresh, {"Content-Type": "application/json"}, json.dumps({"refresh": token}).encode()
        )
        try:
            return str(json.loads(body)["access"])
        except (ValueError, KeyError, TypeError):
            raise refused(f"Label Studio did not accept ROOST_LS_TOKEN ({status})") from None

    def _request(
        self,
        method: str,
        target: SplitResult,
        headers: dict[str, str],
        body: bytes | None = None,
    ) -> tuple[int, bytes]:
        deadline = time.monotonic() + DEADLINE_S
        connection = self._connect(target)
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, self._read(answer, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise refused(f"{_shown(target)} could not be read ({type(error).__name__})") from None
        finally:
            connection.close()

    def _read(self, answer: http.client.HTTPResponse, deadline: float) -> bytes:
        chunks, total = [], 0
        while chunk := answer.read(CHUNK_BYTES):
            total += len(chunk)
            if total > self._rules.max_bytes:
                raise refused(f"it is larger than {self._rules.max_bytes} bytes")
            if time.monotonic() > deadline:
                raise refused(f"it took longer than {DEADLINE_S:.0f} s")
            chunks.append(chunk)
        if answer.length:  # read(n) does not complain about a connection that was cut
            raise refused(f"the connection ended {answer.length} bytes early")
        return b"".join(chunks)

    def _connect(self, target: SplitResult) -> http.client.HTTPConnection:
        host, port = target.hostname or "", _port(target)
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        try:
            plain = self._open(host, port)
            connection.sock = plain
            if target.scheme == "https":
                connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        except OSError as error:
            raise refused(f"{_shown(target)} cannot be reached ({type(error).__name__})") from None
        return connection

    def _open(self, host: str, port: int) -> socket.socket:
        """Connect to the first address of the name that may be, and can be, connected to."""
        addresses = [str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        allowed = [address for address in addresses if self._is_allowed(address)]
        if not allowed:
            raise refused(
                f"'{host}' leads to an address of a private network; name that network in ROOST_LS_NETWORKS "
                "if it is meant to"
            )
        for address in allowed[:-1]:
            with contextlib.suppress(OSError):
                return socket.create_connection((address, port), timeout=TIMEOUT_S)
        return socket.create_connection((allowed[-1], port), timeout=TIMEOUT_S)

    def _is_allowed(self, text: str) -> bool:
        address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return (address.is_global and not address.is_multicast) or any(address in net for net in self._rules.networks)


def refused(reason: str) -> ApiError:
    return ApiError(422, "unreachable_image", f"The task's image cannot be fetched: {reason}.")


def _port(target: SplitResult) -> int:
    return target.port or (443 if target.scheme == "https" else 80)


def _names(target: SplitResult) -> frozenset[str]:
    """The ways in which ROOST_LS_HOSTS may name this host."""
    host = (target.hostname or "").lower()
    return frozenset({f"{host}:{_port(target)}"} | ({host} if target.port is None else set()))


def _shown(target: SplitResult) -> str:
    """Without the query, which may hold a signature."""
    return f"{target.scheme}://{target.hostname}{target.path}"[:300]


def _hint(status: int) -> str:
    if status in (301, 302, 303, 307, 308):
        return " (a redirect, which is not followed)"
    return " (set ROOST_LS_TOKEN to a token of that Label Studio)" if status in (401, 403) else ""
