"""The addresses that a route leads to, and which of them may be connected to.

A tenant names the server, so it must lead to no place that only this machine can reach: the
addresses that the name has at that moment are judged, and one of these is connected to, not the
name again. CAMPAIGNS_ROUTES=any leaves the judgement out.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Protocol

from streams.contracts.routes import HttpRoute, RouteSettings, Tls, bounces_of
from streams.errors import FieldError
from streams.settings import Settings

_MOST_TRIED = 4  # addresses of a name
_UNICAST = IPv6Network("2000::/3")  # all that is given out (RFC 4291, section 2.4)
_6TO4 = IPv6Network("2002::/16")  # leads to an IPv4 address, by relays that are gone (RFC 7526)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052


class NoWayError(Exception):
    """The server cannot be used; the text says what it does, or what it must do."""


class Place(Protocol):
    """A server that a tenant names: its relay, its provider, or the one of its mailbox."""

    @property
    def server(self) -> tuple[str, int, Tls]: ...

    @property
    def is_open(self) -> bool: ...


@dataclass(frozen=True)
class Destination:
    """An address as the system's resolver gives it."""

    address: str
    port: int
    is_public: bool


def is_public(text: str) -> bool:
    """Whether everybody would meet the same machine under this address: not one of a private
    network, this machine, a link, a group or a test, in no spelling.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if (inner := _inner(address)) is not None:
        return is_public(str(inner))
    return address in _UNICAST and address not in _6TO4 and address.is_global


def refused_mailbox(settings: Settings, route: RouteSettings) -> tuple[FieldError, ...]:
    """`refused` of the mailbox that a route's bounces come to."""
    bounces = bounces_of(route)
    if bounces is None or bounces.imap is None:
        return ()
    found = refused(settings, bounces.imap)
    return tuple(FieldError(f"bounces.imap.{one.field}", one.message) for one in found)


def refused(settings: Settings, route: Place) -> tuple[FieldError, ...]:
    """The fields of a route that names an address, or this machine, to which it may not lead;
    nothing about a name, which is judged by its addresses when it is used.
    """
    host = route.server[0]
    if host == "localhost":
        found = False
    else:
        try:
            found = is_public(host)
        except ValueError:
            return ()
    return _refusals(settings, route, found)


async def destinations(settings: Settings, route: Place) -> list[Destination]:
    """The first few addresses of the server. Raises NoWayError when it has none, or one of them may
    not be connected to: which of them it is, the tenant is not told.
    """
    host, port, _ = route.server
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoWayError("has no address: is the name right?") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    made = [Destination(address, port, is_public(address)) for address in addresses]
    for one in made:
        for refusal in _refusals(settings, route, one.is_public):
            raise NoWayError(f"{refusal.message}.")
    return made[:_MOST_TRIED]


def _refusals(settings: Settings, route: Place, public: bool) -> tuple[FieldError, ...]:
    """Why a route may not lead to such an address; empty when it may."""
    is_url = isinstance(route, HttpRoute)
    if settings.routes == "public" and not public:
        return (
            FieldError(
                "url" if is_url else "host",
                "must have public addresses only: this installation reaches no others"
                " (CAMPAIGNS_ROUTES)",
            ),
        )
    if route.server[2] == "none" and public and not route.is_open:
        how = "an https:// URL" if is_url else "reached with TLS"
        return (
            FieldError(
                "url" if is_url else "tls",
                f"must be {how}: it has a public address, and without TLS anybody on the way reads"
                " the mail and the password; `allowPlaintext` allows it",
            ),
        )
    return ()


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address behind one that only spells it."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped
