"""Which requests for pixels and links come from machines: by user agent, by address, and by what
they say of prefetching.
"""

from __future__ import annotations

from starlette.datastructures import Headers

from api.limits.addresses import Addresses
from connectors.machine_traffic import is_machine_address, is_machine_agent
from streams.settings import Settings

_PREFETCH = (
    "sec-purpose",
    "purpose",
    "x-moz",
)  # wicg.github.io/nav-speculation/prefetch.html and its two predecessors


class Machines:
    """Tells machines from people."""

    def __init__(self, settings: Settings) -> None:
        self._addresses = Addresses(settings)

    def is_machine(self, headers: Headers, peer: str | None) -> bool:
        """Whether the request shows signs of a machine: its agent, prefetching or its address."""
        if is_machine_agent(headers.get("user-agent", "")):
            return True
        if any("prefetch" in headers.get(name, "").lower() for name in _PREFETCH):
            return True
        address = self._addresses.of(headers, peer)
        return address is not None and is_machine_address(address)
