"""The address that a request comes from, and how often an address may be refused."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from streams.errors import RateLimitedError
from streams.settings import Settings

Address = IPv4Address | IPv6Address
_MOST_HOPS = 20
_SITE = 64  # bits of an IPv6 address that one subscriber has (RFC 6177)


class Addresses:
    """Finds the caller: the peer, or the nearest of `X-Forwarded-For` that is no trusted proxy
    (`CAMPAIGNS_TRUSTED_PROXIES`).
    """

    def __init__(self, settings: Settings) -> None:
        named = settings.trusted_proxies.split(",") if settings.trusted_proxies else []
        self._trusted = tuple(ip_network(network.strip()) for network in named)

    def of(self, headers: Headers, peer: str | None) -> Address | None:
        """None when it cannot be told."""
        # some proxies add a line of their own, after the caller's
        forwarded = ",".join(headers.getlist("x-forwarded-for"))
        return caller(peer, forwarded, self._trusted)

    def is_trusted(self, peer: str | None) -> bool:
        """Whether a connection comes from a trusted proxy."""
        address = _address(peer or "")
        return address is not None and any(address in network for network in self._trusted)


def caller(
    peer: str | None, forwarded: str, trusted: Iterable[IPv4Network | IPv6Network]
) -> Address | None:
    """The address that asked, None when it cannot be told. A header from any peer but a
    trusted proxy could claim anything.
    """
    address, networks = _address(peer or ""), tuple(trusted)
    for hop in reversed(forwarded.split(",")[-_MOST_HOPS:]):
        if address is None or not any(address in network for network in networks):
            return address
        if not hop.strip():
            return address
        address = _address(hop)
    return address


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def subscriber(address: Address | None) -> str:
    """The name under which an address is counted: of IPv6 its network of 64 bits, in which one
    subscriber has as many addresses as it likes.
    """
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _SITE), strict=False))
    return str(address)


def subscriber_of(request: HTTPConnection, settings: Settings) -> str:
    """The name under which the address of a request is counted."""
    peer = request.client.host if request.client else None
    return subscriber(Addresses(settings).of(request.headers, peer))


@dataclass(frozen=True)
class Patience:
    """At most `most` times `within` a time; `what` is what a refusal calls them."""

    what: str
    most: int
    within: timedelta


# A person who mistypes a key; 150 guesses in a row are none.
SIGN_INS = Patience("failed sign-ins from one address", 10, timedelta(minutes=1))
# A program whose key was revoked; others may come from the same address, and good keys always pass.
REFUSED_KEYS = Patience("refused API keys from one address", 60, timedelta(minutes=1))
# Of one provider for one tenant: others may report from the same address.
FORGERIES = Patience("refused webhooks from one address", 60, timedelta(minutes=1))
# Of one message: a repeat matters only when the tenant has let the address in again meanwhile.
UNSUBSCRIBES = Patience("unsubscribes of one message", 10, timedelta(minutes=10))


class Attempts:
    """Counts what may happen so often only, by name, in windows of this process's clock. Of more
    than `limit` names those that were counted longest ago are forgotten.
    """

    def __init__(
        self,
        patience: Patience,
        *,
        limit: int = 20_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience, self._limit, self._clock = patience, limit, clock
        self._counted = OrderedDict[str, tuple[float, int]]()

    def check(self, name: str) -> None:
        """Raises RateLimitedError when it has happened too often."""
        until, count = self._counted.get(name, (0.0, 0))
        left, patience = until - self._clock(), self._patience
        if left > 0 and count >= patience.most:
            every = round(patience.within.total_seconds() / 60)
            minutes = "a minute" if every == 1 else f"{every} minutes"
            raise RateLimitedError(
                f"The limit is {patience.most} {patience.what} in {minutes};"
                f" wait {math.ceil(left)} s.",
                retry_after=math.ceil(left),
            )

    def count(self, name: str) -> None:
        now = self._clock()
        until, count = self._counted.pop(name, (0.0, 0))
        if until <= now:
            until, count = now + self._patience.within.total_seconds(), 0
        self._counted[name] = (until, count + 1)
        if len(self._counted) > self._limit:
            self._counted.popitem(last=False)
