"""Which address of a Label Studio task may be fetched, and who is sent the token: Label Studio's own host alone."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import httpx

TOKEN_SECONDS = 120.0

REDIRECTS = (301, 302, 303, 307, 308)
# Where Label Studio's own paths begin, below the path at which it lies itself.
OWN_PATHS = ("/data/", "/tasks/", "/storage-data/", "/api/", "/static/")

Fault = Literal["no_base", "invalid", "not_plain", "unlisted", "downgrade", "log_in"]


class AddressRefused(Exception):
    """`fault`: a path without a Label Studio to belong to, no address, not plain http(s), a host that isn't listed; of
    a redirect: one from https to http, one to Label Studio's own log-in."""

    def __init__(self, fault: Fault, host: str = "") -> None:
        super().__init__(fault)
        self.fault, self.host = fault, host


@dataclass(frozen=True)
class Target:
    """An address that may be fetched. `is_studio`: it is Label Studio itself, which may be sent the token."""

    parts: SplitResult
    url: httpx.URL
    is_studio: bool


@dataclass(frozen=True)
class AddressRules:
    """base_url: the Label Studio that paths belong to. hosts: further names that may be fetched from."""

    base_url: str | None
    hosts: frozenset[str]

    def target(self, address: str) -> Target:
        """AddressRefused for all but Label Studio's own paths, its own host, and the hosts that are listed."""
        address = address.strip()
        if address.startswith("/") and not address.startswith("//"):
            address = self.own(address)
        parts = _split(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise AddressRefused("not_plain")
        is_studio = self._is_studio(parts)
        if not (is_studio or _names(parts) & self.hosts):
            raise AddressRefused("unlisted", parts.hostname)
        return Target(parts, _asked_url(parts), is_studio)

    def redirected(self, target: Target, location: str) -> Target:
        """Where the answer of a target leads on, judged like any address: presigned storage must be listed, too."""
        try:
            address = str(target.url.join(location.strip()))
        except (httpx.InvalidURL, ValueError):
            raise AddressRefused("invalid") from None
        further = self.target(address)
        if target.parts.scheme == "https" and further.parts.scheme == "http":
            raise AddressRefused("downgrade", further.parts.hostname or "")
        if further.is_studio and further.parts.path.rstrip("/").endswith("/user/login"):
            raise AddressRefused("log_in")
        return further

    def own(self, path: str) -> str:
        """The address of one of Label Studio's own paths, below the path at which it lies itself.

        Below such a path Label Studio writes it into its tasks, but not everywhere. As in a browser, `\\` is `/`.
        """
        if not self.base_url:
            raise AddressRefused("no_base")
        base, (before, mark, query) = self.base_url.rstrip("/"), path.partition("?")
        below, path = urlsplit(base).path, before.replace("\\", "/")
        rest = path.removeprefix(below)
        if below and path.startswith(f"{below}/") and (rest.startswith(OWN_PATHS) or not path.startswith(OWN_PATHS)):
            path = rest
        return base + path + mark + query

    def _is_studio(self, parts: SplitResult) -> bool:
        base = urlsplit(self.base_url or "")
        return (parts.scheme, parts.hostname, _port(parts)) == (base.scheme, base.hostname, _port(base))


class Token:
    """Thread-safe. `exchange` makes a short-lived token of a personal one."""

    def __init__(self, token: str, exchange: Callable[[str], str]) -> None:
        self._token, self._exchange = token, exchange
        self._lock = threading.Lock()
        self._access: tuple[str, float] = ("", 0.0)

    def headers(self, target: Target) -> dict[str, str]:
        """For fetching the target: nobody but Label Studio is sent the token."""
        accept = {"Accept": "*/*"}  # Label Studio answers 406 to anything narrower
        return accept | ({"Authorization": self._authorization()} if self._token and target.is_studio else {})

    def _authorization(self) -> str:
        """A legacy token as it is; a personal access token (a JWT) is exchanged."""
        if self._token.count(".") != 2:
            return f"Token {self._token}"
        with self._lock:
            if not self._access[0] or self._access[1] < time.monotonic():
                self._access = (self._exchange(self._token), time.monotonic() + TOKEN_SECONDS)
            return f"Bearer {self._access[0]}"


def redirect_hint(status: int | None) -> str:
    return " (a redirect, which is not followed)" if status in REDIRECTS else ""


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise AddressRefused("invalid") from None
    return parts


def _asked_url(parts: SplitResult) -> httpx.URL:
    """Read by a second parser: whatever that makes of it, the host that was judged is the one that is asked."""
    try:
        return httpx.URL(parts.geturl()).copy_with(scheme=parts.scheme, host=parts.hostname, port=parts.port)
    except httpx.InvalidURL:
        raise AddressRefused("invalid") from None


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _names(parts: SplitResult) -> set[str]:
    """The ways in which a list of hosts may name this one."""
    host = (parts.hostname or "").lower()
    return {f"{host}:{_port(parts)}"} | ({host} if parts.port is None else set())
