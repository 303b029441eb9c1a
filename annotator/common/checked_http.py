"""HTTP that leads only where it is meant to: the address is checked on the connection itself, answers are counted.

A name is resolved once and that very address is connected to, so that a second answer of the name server (rebinding)
leads nowhere else. Addresses that are not public need to be allowed by network; redirects are not followed.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator, Sequence

import httpx

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
DEADLINE_SECONDS = 120.0

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ForbiddenAddress(httpx.TransportError):
    """The name leads to no address that may be connected to."""


class TooMuch(httpx.TransportError):
    """The answer is larger, or takes longer, than allowed."""


def checked_client(*, networks: Sequence[Network], max_bytes: int) -> httpx.Client:
    """Ignores the environment's proxies, which would connect in its stead."""
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    transport = _CheckedTransport(networks, max_bytes)
    headers = {"Accept-Encoding": "identity"}  # what is counted is what will be held
    return httpx.Client(transport=transport, timeout=timeout, headers=headers, follow_redirects=False, trust_env=False)


class _CheckedTransport(httpx.BaseTransport):
    def __init__(self, networks: Sequence[Network], max_bytes: int) -> None:
        self._networks, self._max_bytes = networks, max_bytes
        # No connection is kept: one to an address would serve every name that shares it.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._inner = httpx.HTTPTransport(verify=ssl.create_default_context(), trust_env=False, limits=limits)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url, host = request.url, request.url.host
        port = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
        request.extensions = {**request.extensions, "sni_hostname": host}
        addresses = self._allowed(host, port)
        for number, address in enumerate(addresses, start=1):
            request.url = url.copy_with(host=address)
            try:
                answer = self._inner.handle_request(request)
                break
            except httpx.ConnectError:
                if number == len(addresses):
                    raise
            finally:
                request.url = url
        assert isinstance(answer.stream, httpx.SyncByteStream)
        answer.stream = _Counted(answer.stream, self._max_bytes)
        return answer

    def _allowed(self, host: str, port: int) -> list[str]:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"The name {host!r} is not known.") from error
        found = [str(row[4][0]).partition("%")[0] for row in rows]
        if allowed := [text for text in dict.fromkeys(found) if self._may_connect(text)]:
            return allowed
        raise ForbiddenAddress(f"{host!r} leads to an address of a private network")

    def _may_connect(self, text: str) -> bool:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(text)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return (address.is_global and not address.is_multicast) or any(address in net for net in self._networks)

    def close(self) -> None:
        self._inner.close()


class _Counted(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream, max_bytes: int) -> None:
        self._inner, self._max_bytes = inner, max_bytes

    def __iter__(self) -> Iterator[bytes]:
        total, deadline = 0, time.monotonic() + DEADLINE_SECONDS
        for chunk in self._inner:
            total += len(chunk)
            if total > self._max_bytes:
                raise TooMuch(f"it is larger than {self._max_bytes:,} bytes")
            if time.monotonic() > deadline:
                raise TooMuch(f"it takes longer than {DEADLINE_SECONDS:.0f} s")
            yield chunk

    def close(self) -> None:
        self._inner.close()
