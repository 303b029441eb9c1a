"""Images by URL for Label Studio, in this service's words. A failure is an error, never an empty image.

What may be fetched, and who is sent the token: toolbox/studio_images.py; how: toolbox/checked_http.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import httpx

from mlbackend.errors import ApiError
from toolbox.checked_http import (
    AddressRule,
    ForbiddenAddress,
    Limits,
    Network,
    TooLarge,
    TooMuch,
    TooSlow,
    client_within,
)
from toolbox.studio_images import REDIRECTS, AddressRefused, AddressRules, Target, Token, redirect_hint

TIMEOUT_S = 10.0
DEADLINE_S = 30.0
REFUSED = {
    "no_base": "the task holds a path of its Label Studio: set ROOST_LS_URL to that server's address",
    "invalid": "the address is not valid",
    "not_plain": "only plain http and https addresses are fetched",
    "unlisted": "'{host}' is not among ROOST_LS_HOSTS",
    "downgrade": "it leads from https to http at '{host}'",
    "log_in": "Label Studio asks for a log-in: set ROOST_LS_TOKEN to a token of it",
}


@dataclass(frozen=True)
class FetchRules:
    """base_url: the Label Studio that relative paths belong to, and the only host that is sent the token.

    hosts: further names that may be fetched from. networks: non-public addresses (loopback, 10.0.0.0/8, ...) that are
    allowed all the same.
    """

    base_url: str | None = None
    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    token: str | None = None
    max_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True)
class _Answer:
    """`location`: where a redirect leads; else empty."""

    status: int
    body: bytes
    location: str


class Fetcher:
    """Thread-safe."""

    def __init__(self, rules: FetchRules) -> None:
        self._max_bytes = rules.max_bytes
        self._addresses = AddressRules(rules.base_url, rules.hosts)
        self._is_allowed = AddressRule(rules.networks)
        self._client = client_within(self._is_allowed, Limits(rules.max_bytes, TIMEOUT_S, TIMEOUT_S, DEADLINE_S))
        self._client.headers["User-Agent"] = "roost-mlbackend"
        self._token = Token(rules.token or "", self._exchanged)

    def fetch(self, url: str) -> bytes:
        """The image's bytes; ApiError `unreachable_image` with the reason."""
        target = self._target(url)
        answer = self._request("GET", target, self._token.headers(target))
        if answer.location:
            target = self._redirected(target, answer)
            answer = self._request("GET", target, self._token.headers(target))
        if answer.status != 200:
            raise refused(f"{_shown(target)} answered {answer.status}" + _hint(answer.status))
        return answer.body

    def _redirected(self, target: Target, answer: _Answer) -> Target:
        """One step, as Label Studio presigns the storage it leads to; the second is an error like any other."""
        try:
            return self._addresses.redirected(target, answer.location)
        except AddressRefused as error:
            why = REFUSED[error.fault].format(host=error.host)
            raise refused(
                f"{_shown(target)} answered {answer.status}, a redirect that is not followed: {why}"
            ) from None

    def _target(self, url: str) -> Target:
        try:
            return self._addresses.target(url)
        except AddressRefused as error:
            raise refused(REFUSED[error.fault].format(host=error.host)) from None

    def _exchanged(self, token: str) -> str:
        target = self._target("/api/token/refresh")
        body = json.dumps({"refresh": token}).encode()
        answer = self._request("POST", target, {"Content-Type": "application/json"}, body)
        try:
            if answer.status == 200:
                return str(json.loads(answer.body)["access"])
        except (ValueError, KeyError, TypeError):
            pass
        raise refused(f"Label Studio did not accept ROOST_LS_TOKEN ({answer.status})")

    def _request(self, method: str, target: Target, headers: dict[str, str], body: bytes | None = None) -> _Answer:
        try:
            with self._client.stream(method, target.url, headers=headers, content=body) as answer:
                location = answer.headers.get("Location", "") if answer.status_code in REDIRECTS else ""
                return _Answer(answer.status_code, _whole(answer), location)
        except httpx.HTTPError as error:
            raise refused(self._reason(target, error)) from None

    def _reason(self, target: Target, error: httpx.HTTPError) -> str:
        if isinstance(error, ForbiddenAddress):
            words = "leads to an address of a private network; name that network in ROOST_LS_NETWORKS if it is meant to"
            return f"'{target.parts.hostname}' {words}"
        if isinstance(error, TooLarge):
            return f"it is larger than {self._max_bytes} bytes"
        if isinstance(error, TooSlow):
            return f"it took longer than {DEADLINE_S:.0f} s"
        if isinstance(error, TooMuch):
            return str(error)
        reached = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        return f"{_shown(target)} {'could not be read' if reached else 'cannot be reached'} ({_first_cause(error)})"


def refused(reason: str) -> ApiError:
    return ApiError(422, "unreachable_image", f"The task's image cannot be fetched: {reason}.")


def _whole(answer: httpx.Response) -> bytes:
    try:
        return answer.read()
    except httpx.RemoteProtocolError:
        missing = int(answer.headers.get("Content-Length", 0)) - answer.num_bytes_downloaded
        if missing > 0:
            raise refused(f"the connection ended {missing} bytes early") from None
        raise


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__


def _shown(target: Target) -> str:
    """Without the query, which may hold a signature."""
    return f"{target.parts.scheme}://{target.parts.hostname}{target.parts.path}"[:300]


def _hint(status: int) -> str:
    words = " (set ROOST_LS_TOKEN to a token of that Label Studio)" if status in (401, 403) else ""
    return words or redirect_hint(status)
