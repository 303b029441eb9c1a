"""The web side's limits for HTTP that leads only where it is meant to (toolbox/checked_http.py)."""

from collections.abc import Sequence

import httpx

from toolbox.checked_http import AddressRule, ForbiddenAddress, Limits, Network, TooMuch, client_within

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
DEADLINE_SECONDS = 120.0


def checked_client(*, networks: Sequence[Network], max_bytes: int) -> httpx.Client:
    limits = Limits(max_bytes, CONNECT_SECONDS, READ_SECONDS, DEADLINE_SECONDS)
    return client_within(AddressRule(tuple(networks)), limits)


__all__ = ["ForbiddenAddress", "Network", "TooMuch", "checked_client"]
