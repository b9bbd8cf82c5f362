"""The check of a route to a provider over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.delivery.http.checks import check
from connectors.local.engines.engine import free_port
from connectors.routes.findings import Finding, Part, Verdict
from tables.tenants.routes import Credentials
from tests.certificates import Authority
from tests.connectors.delivery.providers.given import route
from tests.connectors.routes import given
from tests.connectors.routes.given import settings
from tests.dns_server import DnsServer, dns_server, txt
from tests.http_service import said, service
from tests.smtp_server import relay

SECRET = Credentials("", "the secret")


@pytest.fixture
async def names() -> AsyncIterator[DnsServer]:
    async with dns_server() as made:
        yield made


def _of(findings: list[Finding]) -> dict[Part, Verdict]:
    return {one.part: one.status for one in findings}


async def test_a_provider_is_reached_without_its_credentials_and_dns_is_read(
    names: DnsServer, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    names.replies["_dmarc.acme.example"] = txt("v=DMARC1; p=none")
    async with service(lambda heard: said(404), authority.issue("127.0.0.1")) as there:
        here = settings(names, routes_ca_file=str(authority.file))
        found = await check(here, route("resend", there.url), SECRET)
    assert _of(found) == {
        Part.CONNECTION: Verdict.OK,
        Part.TLS: Verdict.OK,
        Part.LOGIN: Verdict.UNKNOWN,
        Part.SPF: Verdict.ERROR,
        Part.DKIM: Verdict.UNKNOWN,
        Part.DMARC: Verdict.OK,
        Part.MX: Verdict.ERROR,
    }
    [heard] = there.heard
    assert heard.method == "GET" and not any("secret" in each for each in heard.headers.values())


async def test_other_channels_have_no_dns(names: DnsServer) -> None:
    async with service() as there:
        texts = route("webhook", there.url, channel="sms")
        found = await check(settings(names), texts, SECRET)
    assert _of(found) == {
        Part.CONNECTION: Verdict.OK,
        Part.TLS: Verdict.WARNING,
        Part.LOGIN: Verdict.UNKNOWN,
    }
    assert names.asked == []


async def test_a_server_that_is_not_reached_is_a_finding(names: DnsServer, tmp_path: Path) -> None:
    gone = route("webhook", f"http://127.0.0.1:{free_port()}", channel="push")
    [found] = await check(settings(names), gone, SECRET)
    assert (found.part, found.status) == (Part.CONNECTION, Verdict.ERROR)
    assert found.explanation.startswith("127.0.0.1 is not reached (")
    async with service(pair=Authority(tmp_path).issue("127.0.0.1")) as there:
        [found] = await check(settings(names), route("webhook", there.url, channel="push"), SECRET)
        assert (found.part, found.status) == (Part.TLS, Verdict.ERROR)
        [found] = await check(
            settings(names, routes="public"), route("webhook", there.url, channel="push"), SECRET
        )
        assert found.part is Part.CONNECTION and "CAMPAIGNS_ROUTES" in found.explanation
        assert there.heard == []


async def test_a_relay_is_checked_as_a_relay(names: DnsServer) -> None:
    async with relay() as server:
        found = await check(settings(names), given.route(port=server.port), None)
    assert _of(found)[Part.PTR] is Verdict.UNKNOWN and server.connections == 1
