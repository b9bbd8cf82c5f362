"""The name servers of the settings, else of the system, and the records that they answer.

An answer that says nothing about the name, or none at all, is never taken for "it is not there".
"""

from __future__ import annotations

import logging
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from streams.errors import DependencyDownError
from streams.settings import Settings
from streams.settings.checks import addressed

_EACH = 2.0  # seconds for one server to answer once
# Larger answers come over TCP: datagrams of this size pass every network (DNS Flag Day 2020).
_DATAGRAM = 1232
_log = logging.getLogger(__name__)


async def txt_values(settings: Settings, name: str) -> list[bytes] | None:
    """The values of the TXT records of a name, the strings of each one joined (RFC 7208, section
    3.3), those behind a CNAME included; an empty list when it has other records only, and None when
    there is no such name.

    Raises DependencyDownError when no server answers in time (CAMPAIGNS_DNS_TIMEOUT), or none of
    them can tell.
    """
    found = await records(settings, name, "TXT")
    return None if found is None else [b"".join(record.strings) for record in found]


async def records(settings: Settings, name: str, kind: str) -> list[Any] | None:
    """The records of a kind, such as MX, as `txt_values` finds those of TXT: dnspython's values of
    that kind.

    Raises DependencyDownError, also for a text that is no name.
    """
    patience = settings.dns_timeout.total_seconds()
    try:
        found = await _resolver(settings).resolve(
            dns.name.from_text(name), kind, search=False, lifetime=patience
        )
    except dns.resolver.NXDOMAIN:
        return None
    except dns.resolver.NoAnswer:
        return []
    except dns.exception.Timeout as error:
        raise _down(name, f"within {patience:g} s", error) from error
    except (dns.exception.DNSException, OSError) as error:
        raise _down(name, "with anything but errors", error) from error
    return list(found)


def _resolver(settings: Settings) -> dns.asyncresolver.Resolver:
    """Raises dns.resolver.NoResolverConfiguration when neither names a server."""
    servers = addressed(settings.dns_servers)
    resolver = dns.asyncresolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(address, port) for address, port in servers
        ]
    resolver.timeout = _EACH
    resolver.use_edns(0, 0, _DATAGRAM)
    return resolver


def _down(name: str, how: str, error: Exception) -> DependencyDownError:
    _log.warning("DNS does not answer", extra={"record": name, "error": repr(error)})
    return DependencyDownError(
        f"DNS did not answer about {name} {how}, so nothing is known and nothing was changed;"
        " try again."
    )
