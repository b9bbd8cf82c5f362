"""The check of a route, whichever kind it is: a relay, or a provider over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from connectors.delivery.http.client import NO_CERTIFICATE, NO_TLS, Client
from connectors.delivery.http.exchange import Answer, Request
from connectors.delivery.outcomes import InDoubt, NotTried
from connectors.routes import checks
from connectors.routes.findings import Finding, Part, Verdict
from streams.contracts.routes import HttpRoute, RouteSettings, SmtpRoute
from streams.settings import Settings
from tables.tenants.routes import Credentials


async def check(
    settings: Settings,
    route: RouteSettings,
    credentials: Credentials | None,
    selectors: Sequence[str] = (),
) -> list[Finding]:
    """The findings, the server first, then each domain. A silent server is a finding, too. To a
    provider over HTTP no credentials are sent: it takes a message, or refuses them.

    Waits for others, CAMPAIGNS_ROUTE_TIMEOUT or a little more: hold no connection meanwhile.
    """
    if isinstance(route, SmtpRoute):
        return await checks.check(settings, route, credentials, selectors)
    assert isinstance(route, HttpRoute), route.provider
    server, found = await asyncio.gather(
        _server(settings, route), checks.of_dns(settings, route, [], selectors)
    )
    return [*server, *found]


async def _server(settings: Settings, route: HttpRoute) -> list[Finding]:
    client, patience = Client(settings, route), settings.route_timeout.total_seconds()
    try:
        async with asyncio.timeout(patience):
            answer = await client.send(Request(route.base, method="GET"))
    except TimeoutError:
        answer = NotTried(f"did not answer within {patience:g} s")
    finally:
        await client.close()
    return list(_findings(route, answer))


def _findings(route: HttpRoute, answer: Answer | NotTried | InDoubt) -> Iterator[Finding]:
    host, _, tls = route.server
    if not isinstance(answer, Answer):
        part = Part.TLS if answer.reason in (NO_CERTIFICATE, NO_TLS) else Part.CONNECTION
        yield Finding(part, Verdict.ERROR, host, f"{host} {answer.reason.rstrip('.')}.")
        return
    yield Finding(Part.CONNECTION, Verdict.OK, host, f"{host} answered.")
    if tls == "tls":
        said = "has a valid certificate."
        yield Finding(Part.TLS, Verdict.OK, host, f"{host} {said}")
    else:
        said = "is reached without TLS: whoever is on the way reads the messages, and the password."
        yield Finding(Part.TLS, Verdict.WARNING, host, f"{host} {said}")
    said = "Only a message shows whether the credentials are taken: try a test-send."
    yield Finding(Part.LOGIN, Verdict.UNKNOWN, host, said)
