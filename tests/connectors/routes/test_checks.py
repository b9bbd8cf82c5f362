"""The whole check of a route, against a relay and a name server on loopback."""

from __future__ import annotations

from pathlib import Path

import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.routes.checks import check, worst
from connectors.routes.findings import Finding, Part, Verdict
from tables.tenants.routes import Credentials
from tests.certificates import Authority
from tests.connectors.routes.given import DOMAIN, route, settings
from tests.connectors.routes.test_senders import KEY, key
from tests.dns_server import DnsServer, Reply, others, txt
from tests.smtp_server import PASSWORD, USER, relay

GOOD = Credentials(USER, PASSWORD)


async def test_a_route_that_is_set_up_has_nothing_left_to_do(
    names: DnsServer, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    names.replies |= {
        DOMAIN: Reply(txt("v=spf1 ip4:8.8.4.4 -all").texts, others("MX 1 mx.example.").others),
        KEY: txt(f"v=DKIM1; p={key('2048')}"),
        f"_dmarc.{DOMAIN}": txt("v=DMARC1; p=none"),
    }
    async with relay("starttls", authority.issue("localhost")) as server:
        here = settings(names, routes_ca_file=str(authority.file))
        there = route(host="localhost", port=server.port, tls="starttls")
        findings = await check(here, there, GOOD, ["s1"])
        assert [(one.part, one.status) for one in findings] == [
            (Part.CONNECTION, Verdict.OK),
            (Part.TLS, Verdict.OK),
            (Part.LOGIN, Verdict.OK),
            (Part.PTR, Verdict.UNKNOWN),  # loopback has no name that others could look up
            (Part.SPF, Verdict.OK),
            (Part.DKIM, Verdict.OK),
            (Part.DMARC, Verdict.OK),
            (Part.MX, Verdict.OK),
        ]
        assert server.mails == 0


async def test_a_relay_that_is_refused_is_not_connected_to_and_dns_is_still_read(
    names: DnsServer,
) -> None:
    async with relay() as server:
        here = settings(names, routes="public")
        findings = await check(here, route(port=server.port), GOOD)
        assert (findings[0].part, findings[0].status) == (Part.CONNECTION, Verdict.ERROR)
        assert "CAMPAIGNS_ROUTES" in findings[0].explanation
        assert {one.part for one in findings[1:]} == {
            *(Part.PTR, Part.SPF, Part.DKIM, Part.DMARC, Part.MX)
        }
        assert server.connections == 0


async def test_each_domain_and_each_selector_is_looked_up(names: DnsServer) -> None:
    domains = ["acme.example", "news.example"]
    findings = await check(settings(names, routes="public"), route(fromDomains=domains), None)
    assert [one.subject for one in findings if one.part is Part.DMARC] == domains
    asked = {one.explanation for one in findings if one.part is Part.DKIM}
    assert len(asked) == 1 and "selector" in asked.pop()
    some = await check(
        settings(names, routes="public"), route(fromDomains=domains), None, ["a", "b"]
    )
    assert [one.subject for one in some if one.part is Part.DKIM] == [
        domain for domain in domains for _ in "ab"
    ]


@pytest.mark.parametrize(
    "reply", [Reply(rcode=dns.rcode.SERVFAIL), Reply(is_silent=True), Reply(is_garbage=True)]
)
async def test_dns_that_does_not_answer_is_a_finding_and_spoils_no_other(
    names: DnsServer, reply: Reply
) -> None:
    names.replies |= {
        "acme.example": reply,
        "_dmarc.acme.example": txt("v=DMARC1; p=none"),
    }
    here = settings(names, routes="public", dns_timeout="PT0.5S")
    found = {one.part: one.status for one in await check(here, route(), None)}
    assert found[Part.SPF] is found[Part.MX] is Verdict.UNKNOWN


async def test_a_check_ends_when_its_time_is_over(names: DnsServer) -> None:
    names.replies["acme.example"] = Reply(is_silent=True)
    here = settings(names, routes="public", route_timeout="PT0.5S")
    found = {one.part: one for one in await check(here, route(), None)}
    assert found[Part.SPF].status is Verdict.UNKNOWN
    assert "did not answer" in found[Part.SPF].explanation


async def test_a_domain_for_bounces_needs_a_server_and_an_spf_record_of_its_own(
    names: DnsServer,
) -> None:
    for port, mailbox, server in (
        (0, None, None),
        (2525, None, "10 mx.campaigns.example."),
        (2525, {"host": "127.0.0.1", "tls": "none"}, None),  # somebody else takes them
    ):
        here = settings(
            names, routes="public", bounce_port=port, bounce_name="mx.campaigns.example"
        )
        there = route(bounces={"domain": "bounce.acme.example", "imap": mailbox})
        found = {
            one.part: one
            for one in await check(here, there, None)
            if one.subject == "bounce.acme.example"
        }
        assert found.keys() == {Part.SPF, Part.MX}
        for part, kind, value in ((Part.MX, "MX", server), (Part.SPF, "TXT", None)):
            assert found[part].status is Verdict.ERROR
            record = found[part].record
            assert record is not None
            assert (record.name, record.type, record.value) == ("bounce.acme.example", kind, value)


async def test_bounces_that_go_to_other_servers_than_ours_are_a_warning(names: DnsServer) -> None:
    here = settings(names, routes="public", bounce_port=2525, bounce_name="mx.campaigns.example")
    there = route(bounces={"domain": "bounce.acme.example"})
    for record, status in (
        ("MX 10 MX.campaigns.example.", Verdict.OK),
        ("MX 10 mx.provider.example.", Verdict.WARNING),
    ):
        names.replies["bounce.acme.example"] = others(record)
        found = await check(here, there, None)
        assert [
            one.status
            for one in found
            if (one.part, one.subject) == (Part.MX, "bounce.acme.example")
        ] == [status]


@given(st.lists(st.sampled_from(Verdict)))
def test_the_worst_of_the_findings_is_that_of_the_check(statuses: list[Verdict]) -> None:
    findings = [Finding(Part.MX, status, "x", "x") for status in statuses]
    order = [Verdict.OK, Verdict.WARNING, Verdict.UNKNOWN, Verdict.ERROR]
    assert worst(findings) is max(statuses, key=order.index, default=Verdict.OK)
