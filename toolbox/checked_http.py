"""HTTP that leads only where it is meant to: the address is checked on the connection itself, answers are counted.

A name is resolved once and that very address is connected to, so that a second answer of the name server (rebinding)
leads nowhere else. Addresses that are not public need to be allowed by network; redirects are left to the caller, who
judges where they lead, cookies not kept, and what comes compressed is refused, as it would be larger than is counted.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ForbiddenAddress(httpx.TransportError):
    """The name leads to no address that may be connected to."""


class TooMuch(httpx.TransportError):
    """The answer is larger, or takes longer, than allowed."""


class TooLarge(TooMuch):
    pass


class TooSlow(TooMuch):
    pass


@dataclass(frozen=True)
class AddressRule:
    """Public addresses, and those of the networks that were named; says whether one may be connected to."""

    networks: tuple[Network, ...] = ()

    def __call__(self, text: str) -> bool:
        address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return (address.is_global and not address.is_multicast) or any(address in net for net in self.networks)


@dataclass(frozen=True)
class Limits:
    """`read_s` is the longest silence; `deadline_s` counts from before the connection to the last byte."""

    max_bytes: int
    connect_s: float
    read_s: float
    deadline_s: float


def client_within(is_allowed: AddressRule, limits: Limits) -> httpx.Client:
    """Thread-safe. Ignores the environment's proxies, which would connect in its stead."""
    return httpx.Client(
        transport=_CheckedTransport(is_allowed, limits),
        timeout=httpx.Timeout(limits.read_s, connect=limits.connect_s),
        headers={"Accept-Encoding": "identity"},  # what is counted is what will be held
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
        trust_env=False,
    )


class _CheckedTransport(httpx.BaseTransport):
    def __init__(self, is_allowed: AddressRule, limits: Limits) -> None:
        self._is_allowed, self._limits = is_allowed, limits
        # No connection is kept: one to an address would serve every name that shares it.
        kept = httpx.Limits(max_keepalive_connections=0)
        self._inner = httpx.HTTPTransport(verify=ssl.create_default_context(), trust_env=False, limits=kept)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        clock = _Clock(self._limits.deadline_s)
        answer = self._answer(request, clock)
        assert isinstance(answer.stream, httpx.SyncByteStream)
        if answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            answer.close()
            raise TooMuch("it comes compressed, so that its size can't be counted")
        answer.stream = _Counted(answer.stream, self._limits.max_bytes, clock)
        return answer

    def _answer(self, request: httpx.Request, clock: "_Clock") -> httpx.Response:
        """From the first address of the name that may be, and can be, connected to."""
        url = request.url
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        *others, last = self._addresses(url)
        for address in others:
            try:
                return self._answer_of(address, request, url)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                clock.check()
        return self._answer_of(last, request, url)

    def _answer_of(self, address: str, request: httpx.Request, url: httpx.URL) -> httpx.Response:
        request.url = url.copy_with(host=address)
        try:
            return self._inner.handle_request(request)
        finally:
            request.url = url

    def _addresses(self, url: httpx.URL) -> list[str]:
        port = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
        try:
            rows = socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"The name {url.host!r} is not known.") from error
        found = [str(row[4][0]).partition("%")[0] for row in rows]
        if allowed := [text for text in dict.fromkeys(found) if self._is_allowed(text)]:
            return allowed
        raise ForbiddenAddress(f"{url.host!r} leads to an address of a private network")

    def close(self) -> None:
        self._inner.close()


class _Clock:
    def __init__(self, deadline_s: float) -> None:
        self._deadline_s, self._end = deadline_s, time.monotonic() + deadline_s

    def check(self) -> None:
        if time.monotonic() > self._end:
            raise TooSlow(f"it takes longer than {self._deadline_s:.0f} s")


class _Counted(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream, max_bytes: int, clock: _Clock) -> None:
        self._inner, self._max_bytes, self._clock = inner, max_bytes, clock

    def __iter__(self) -> Iterator[bytes]:
        total = 0
        for chunk in self._inner:
            total += len(chunk)
            if total > self._max_bytes:
                raise TooLarge(f"it is larger than {self._max_bytes:,} bytes")
            self._clock.check()
            yield chunk

    def close(self) -> None:
        self._inner.close()
