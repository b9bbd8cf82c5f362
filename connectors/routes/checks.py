"""The whole check of a route: its relay, and what DNS says of the domains that it sends from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence

from connectors.routes.destinations import NoWayError, destinations
from connectors.routes.findings import Finding, Part, Verdict
from connectors.routes.login import host_name, log_in, no_way
from connectors.routes.names import Names
from connectors.routes.reverse import ptr, unknown
from connectors.routes.senders import dkim, dmarc, mx
from connectors.routes.spf import spf
from streams.contracts.routes import Bounces, RouteSettings, SmtpRoute, bounces_of
from streams.errors import DependencyDownError
from streams.settings import Settings
from tables.tenants.routes import Credentials

_NO_SELECTOR = "Name the selector under which the relay signs, to have its DKIM key looked up."


async def check(
    settings: Settings,
    route: SmtpRoute,
    credentials: Credentials | None,
    selectors: Sequence[str] = (),
) -> list[Finding]:
    """The findings, the relay first, then each domain, that of bounces last. A silent server is a
    finding, too.

    Waits for others, CAMPAIGNS_ROUTE_TIMEOUT or a little more: hold no connection meanwhile.
    """
    try:
        async with asyncio.timeout(settings.route_timeout.total_seconds()):
            to = await destinations(settings, route)
    except (NoWayError, TimeoutError) as error:
        why = str(error) or "has no address: DNS does not answer."
        return [no_way(route, why), *await of_dns(settings, route, [], selectors)]
    public = [one.address for one in to if one.is_public]
    relay, found = await asyncio.gather(
        log_in(settings, route, credentials, to), of_dns(settings, route, public, selectors)
    )
    return [*relay, *found]


def worst(findings: Sequence[Finding]) -> Verdict:
    """The status of the worst of the findings."""
    found = {finding.status for finding in findings}
    order = (Verdict.ERROR, Verdict.UNKNOWN, Verdict.WARNING)
    return next((status for status in order if status in found), Verdict.OK)


async def of_dns(
    settings: Settings, route: RouteSettings, addresses: list[str], selectors: Sequence[str]
) -> list[Finding]:
    """The findings about the domains of a route, and about a relay's public `addresses`."""
    names = Names(settings)
    until = asyncio.get_running_loop().time() + settings.route_timeout.total_seconds()

    async def known(part: Part, subject: str, finding: Awaitable[Finding]) -> Finding:
        try:
            async with asyncio.timeout_at(until):
                return await finding
        except (DependencyDownError, TimeoutError):
            return Finding(part, Verdict.UNKNOWN, subject, "DNS did not answer about it.")

    try:
        return await asyncio.gather(
            *(known(*one) for one in _wanted(names, route, addresses, selectors))
        )
    finally:
        await names.close()


def _wanted(
    names: Names, route: RouteSettings, addresses: list[str], selectors: Sequence[str]
) -> Iterator[tuple[Part, str, Awaitable[Finding]]]:
    if isinstance(route, SmtpRoute):
        for address in addresses:
            yield Part.PTR, address, ptr(names, route.host, address)
        if not addresses:
            yield Part.PTR, route.host, _said(unknown(route.host))
    for domain in route.domains:
        yield Part.SPF, domain, spf(names, domain, addresses)
        for selector in selectors:
            yield Part.DKIM, domain, dkim(names, domain, selector)
        if not selectors:
            no_selector = Finding(Part.DKIM, Verdict.UNKNOWN, domain, _NO_SELECTOR)
            yield Part.DKIM, domain, _said(no_selector)
        yield Part.DMARC, domain, dmarc(names, domain)
        yield Part.MX, domain, mx(names, domain)
    if (bounces := bounces_of(route)) is not None:
        domain = bounces.domain
        # receivers judge the envelope's sender by the SPF record of its domain (RFC 7208)
        yield Part.SPF, domain, spf(names, domain, addresses)
        yield Part.MX, domain, mx(names, domain, _exchanger(names.settings, bounces))


def _exchanger(settings: Settings, bounces: Bounces) -> str | None:
    """The server that takes the bounces of a route; None where only somebody else knows it."""
    is_ours = bounces.imap is None and settings.bounce_port != 0
    return (settings.bounce_name or host_name(settings)) if is_ours else None


async def _said(finding: Finding) -> Finding:
    return finding
