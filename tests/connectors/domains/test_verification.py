"""Every answer that DNS can give about a domain's record, from a name server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator

import dns.rcode
import pytest

from connectors.domains.verification import judged, look_up
from connectors.local.engines.engine import free_port
from streams.errors import DependencyDownError
from streams.settings import Settings
from tables.models import SenderDomain
from tables.tenants.sender_domains import Finding
from tests.dns_server import DnsServer, Reply, dns_server, txt

TOKEN = "0f6c2e1d7a44b8319a53c5d2e7f80b16"
VALUE = f"campaigns-verification={TOKEN}"
NAME = "_campaigns.example.com"
SPF = "v=spf1 include:_spf.example.com -all"


@pytest.fixture
async def names() -> AsyncIterator[DnsServer]:
    async with dns_server() as names:
        yield names


def settings(*servers: str, within: str = "PT5M") -> Settings:
    return Settings.model_validate(
        {
            "kafka": "",
            "nats": "",
            "postgres": "",
            "message_keys": "00" * 32,
            "dns_servers": ",".join(servers),
            "dns_timeout": within,
        }
    )


def domain(name: str = "example.com") -> SenderDomain:
    return SenderDomain(tenant_id="acme", domain=name, token=TOKEN)


async def found(names: DnsServer, reply: Reply | None) -> Finding:
    if reply is not None:
        names.replies[NAME] = reply
    return await look_up(settings(names.address), domain())


@pytest.mark.parametrize(
    ("reply", "finding"),
    [
        (txt(VALUE), Finding.VERIFIED),
        (txt(SPF, VALUE, "campaigns-verification=other"), Finding.VERIFIED),
        (
            Reply((tuple(VALUE[n : n + 9].encode() for n in range(0, len(VALUE), 9)),)),
            Finding.VERIFIED,
        ),
        (Reply(((b"", VALUE.encode(), b""),)), Finding.VERIFIED),
        (txt(f" {VALUE} \t"), Finding.VERIFIED),
        (txt(f'"{VALUE}"'), Finding.VERIFIED),
        (Reply(txt(VALUE).texts, alias="records.example.net"), Finding.VERIFIED),
        (Reply(txt(VALUE).texts, is_cut=True), Finding.VERIFIED),
        (txt(*(f"{n:0200}" for n in range(40)), VALUE), Finding.VERIFIED),
        (None, Finding.NO_SUCH_NAME),
        (Reply(rcode=dns.rcode.NXDOMAIN, alias="gone.example.net"), Finding.NO_SUCH_NAME),
        (Reply(), Finding.NO_TXT),
        (Reply(alias="records.example.net"), Finding.NO_TXT),
        (txt(SPF), Finding.OTHER_VALUES),
        (txt(TOKEN), Finding.OTHER_VALUES),
        (txt(""), Finding.OTHER_VALUES),
        (txt(f"_campaigns.example.com TXT {VALUE}"), Finding.OTHER_VALUES),
        (Reply(((b"\xff\xfe\x00", b"\x80"),)), Finding.OTHER_VALUES),
        (txt("campaigns-verification=" + "0" * 32), Finding.OTHER_TOKEN),
        (txt(VALUE + "0"), Finding.OTHER_TOKEN),
        (txt(VALUE[:-1]), Finding.OTHER_TOKEN),
        (txt("campaigns-verification="), Finding.OTHER_TOKEN),
        (txt(VALUE[:20], VALUE[20:]), Finding.OTHER_VALUES),
    ],
)
async def test_what_dns_has_is_told_apart(
    names: DnsServer, reply: Reply | None, finding: Finding
) -> None:
    assert await found(names, reply) == finding
    assert {name for _, name in names.asked} == {NAME}
    assert (("tcp", NAME) in names.asked) is bool(reply and reply.is_cut)


async def test_the_record_of_the_domain_itself_or_of_one_above_proves_nothing(
    names: DnsServer,
) -> None:
    for name in ("example.com", "_campaigns.com", "_campaigns.mail.example.com"):
        names.replies[name] = txt(VALUE)
    assert await found(names, None) is Finding.NO_SUCH_NAME


@pytest.mark.parametrize(
    "reply",
    [
        Reply(rcode=dns.rcode.SERVFAIL),
        Reply(rcode=dns.rcode.REFUSED),
        Reply(rcode=dns.rcode.FORMERR),
        Reply(rcode=dns.rcode.NOTIMP),
        Reply(rcode=dns.rcode.YXDOMAIN),
        Reply(is_silent=True),
        Reply(is_garbage=True),
        Reply(is_cut=True, rcode=dns.rcode.SERVFAIL),
    ],
    ids=["failed", "refused", "format", "unknown", "too long", "silent", "garbage", "cut"],
)
async def test_an_answer_that_tells_nothing_is_no_refusal(names: DnsServer, reply: Reply) -> None:
    names.replies[NAME] = reply
    with pytest.raises(DependencyDownError, match=NAME) as down:
        await look_up(settings(names.address, within="PT0.5S"), domain())
    assert down.value.status == 503 and "nothing was changed" in down.value.detail


async def test_a_server_that_fails_is_passed_over_for_the_next(names: DnsServer) -> None:
    names.replies[NAME] = txt(VALUE)
    async with dns_server() as failing:
        failing.replies[NAME] = Reply(rcode=dns.rcode.SERVFAIL)
        servers = settings(failing.address, names.address)
        assert await look_up(servers, domain()) is Finding.VERIFIED
        assert len(failing.asked) == len(names.asked) == 1


async def test_where_nobody_listens_nothing_is_known() -> None:
    nowhere = settings(f"127.0.0.1:{free_port()}", within="PT0.5S")
    with pytest.raises(DependencyDownError, match=r"within 0\.5 s"):
        await look_up(nowhere, domain())


async def test_an_international_domain_is_asked_for_in_ascii(names: DnsServer) -> None:
    names.replies["_campaigns.xn--bcher-kva.example"] = txt(VALUE)
    own = domain("xn--bcher-kva.example")
    assert await look_up(settings(names.address), own) is Finding.VERIFIED


def test_no_value_of_another_token_is_near_enough() -> None:
    for place in range(len(VALUE)):
        changed = VALUE[:place] + ("x" if VALUE[place] != "x" else "y") + VALUE[place + 1 :]
        assert judged([changed.encode()], VALUE) is not Finding.VERIFIED
    assert judged([VALUE.upper().encode()], VALUE) is Finding.OTHER_VALUES
