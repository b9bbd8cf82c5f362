"""Which requests for pixels and links come from machines: by user agent, by address, and by what
they say of prefetching.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers

from connectors.machine_traffic import is_machine_address, is_machine_agent
from streams.settings import Settings

_PREFETCH = (
    "sec-purpose",
    "purpose",
    "x-moz",
)  # wicg.github.io/nav-speculation/prefetch.html and its two predecessors
_MOST_HOPS = 20
Address = IPv4Address | IPv6Address


class Machines:
    """Tells machines from people. The caller is the peer, or the nearest of `X-Forwarded-For` that
    is no trusted proxy.
    """

    def __init__(self, settings: Settings) -> None:
        named = settings.trusted_proxies.split(",") if settings.trusted_proxies else []
        self._trusted = tuple(ip_network(network.strip()) for network in named)

    def is_machine(self, headers: Headers, peer: str | None) -> bool:
        """Whether the request shows signs of a machine: its agent, prefetching or its address."""
        if is_machine_agent(headers.get("user-agent", "")):
            return True
        if any("prefetch" in headers.get(name, "").lower() for name in _PREFETCH):
            return True
        forwarded = ",".join(
            headers.getlist("x-forwarded-for")
        )  # some proxies add a line of their own, after the caller's
        address = caller(peer, forwarded, self._trusted)
        return address is not None and is_machine_address(address)


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
