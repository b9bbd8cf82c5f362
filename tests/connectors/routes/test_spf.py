"""SPF as receivers evaluate it (RFC 7208), from a name server on loopback."""

from __future__ import annotations

import asyncio

import dns.rcode
import pytest

from connectors.routes.findings import Finding, Verdict
from connectors.routes.names import Names
from connectors.routes.spf import BrokenError, result, spf
from streams.errors import DependencyDownError
from tests.connectors.routes.given import DOMAIN, settings
from tests.dns_server import DnsServer, Reply, others, txt

OURS, OURS6 = "8.8.4.4", "2001:4860:4860::8844"


async def found(names: DnsServer, record: str | None, address: str = OURS) -> str | None:
    """The result for the domain with this record."""
    if record is not None:
        names.replies[DOMAIN] = txt(record)
    asking = Names(settings(names))
    try:
        return await result(asking, DOMAIN, address)
    finally:
        await asking.close()


async def finding(names: DnsServer, *addresses: str) -> Finding:
    asking = Names(settings(names))
    try:
        return await spf(asking, DOMAIN, list(addresses))
    finally:
        await asking.close()


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ("v=spf1", "neutral"),
        ("V=SPF1 -ALL", "fail"),
        ("v=spf1 -all", "fail"),
        ("v=spf1 ~all", "softfail"),
        ("v=spf1 ?all", "neutral"),
        ("v=spf1 all", "pass"),
        ("v=spf1 +all", "pass"),
        ("v=spf1 ip4:8.8.4.4 -all", "pass"),
        ("v=spf1 ip4:8.8.0.0/16 -all", "pass"),
        ("v=spf1 ip4:8.8.4.5 -all", "fail"),
        ("v=spf1 -ip4:8.8.4.4 +all", "fail"),
        ("v=spf1   ip4:8.8.4.4  -all", "pass"),
        ("v=spf1 ip6:2001:4860::/32 -all", "fail"),
        ("v=spf1 a -all", "pass"),
        ("v=spf1 a:other.example -all", "fail"),
        ("v=spf1 a:other.example/24 -all", "pass"),
        ("v=spf1 a:other.example/24//64 -all", "pass"),
        ("v=spf1 mx -all", "pass"),
        ("v=spf1 mx:other.example -all", "fail"),
        ("v=spf1 include:passes.example -all", "pass"),
        ("v=spf1 include:fails.example ?all", "neutral"),
        ("v=spf1 include:nested.example -all", "pass"),
        ("v=spf1 redirect=passes.example", "pass"),
        ("v=spf1 redirect=passes.example -all", "fail"),
        ("v=spf1 exp=why.example unknown=x -all", "fail"),
        ("v=spf1 exists:%{i}.list.example ptr ~all", "softfail"),
        ("v=spf1 a:nowhere.example mx:nowhere.example -all", "fail"),
    ],
)
async def test_the_result_is_that_of_the_first_mechanism_that_matches(
    names: DnsServer, record: str, wanted: str
) -> None:
    names.replies |= {
        "mx.acme.example": others("A 8.8.4.4"),
        "other.example": others("A 8.8.4.7", "MX 5 nowhere.example."),
        "passes.example": txt("v=spf1 ip4:8.8.4.4 -all"),
        "fails.example": txt("v=spf1 -all"),
        "nested.example": txt("v=spf1 include:fails.example include:passes.example -all"),
    }
    own = others("A 8.8.4.4", "MX 10 mx.acme.example.")
    names.replies[DOMAIN] = Reply(txt(record, "google-site-verification=x").texts, own.others)
    assert await found(names, None) == wanted


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ("v=spf1 ip6:2001:4860:4860::8844 -all", "pass"),
        ("v=spf1 ip6:2001:4860::/32 -all", "pass"),
        ("v=spf1 ip4:8.8.4.4 -all", "fail"),
        ("v=spf1 a -all", "pass"),
        ("v=spf1 a:other.example//48 -all", "pass"),
        ("v=spf1 a:other.example/24 -all", "fail"),
    ],
)
async def test_it_is_the_same_for_ipv6(names: DnsServer, record: str, wanted: str) -> None:
    own = others(f"AAAA {OURS6}", "A 8.8.4.5")
    names.replies[DOMAIN] = Reply(txt(record).texts, own.others)
    names.replies["other.example"] = others("AAAA 2001:4860:4860::1")
    assert await found(names, None, OURS6) == wanted


@pytest.mark.parametrize(
    "record",
    [
        *("v=spf1 ipv4:8.8.4.4", "v=spf1 ip4:8.8.4", "v=spf1 ip4", "v=spf1 ip4:2001:4860::"),
        *("v=spf1 ip6:8.8.4.4", "v=spf1 ip4:8.8.4.4/33", "v=spf1 ip4:8.8.4.4/", "v=spf1 all:x"),
        *("v=spf1 include", "v=spf1 include:", "v=spf1 a/33", "v=spf1 mx//129", "v=spf1 -"),
        *("v=spf1 include:nowhere.example", "v=spf1 redirect=nowhere.example", "v=spf1 all/8"),
        *("v=spf1 include:acme.example -all", "v=spf1 redirect=acme.example", "v=spf1 +-all"),
        "v=spf1 " + " ".join(f"a:h{number}.example" for number in range(11)),
        "v=spf1 include:.. -all",
        "v=spf1 include:" + "x" * 70 + ".example -all",
        "v=spf1 münchen",
    ],
)
async def test_a_record_that_receivers_do_not_evaluate_is_broken(
    names: DnsServer, record: str
) -> None:
    with pytest.raises(BrokenError):
        await found(names, record)
    broken = await finding(names, OURS)
    assert broken.status is Verdict.ERROR and "not evaluated" in broken.explanation


async def test_ten_look_ups_are_as_many_as_a_record_may_need(names: DnsServer) -> None:
    ten = " ".join(f"a:h{number}.example" for number in range(10))
    assert await found(names, f"v=spf1 {ten} -all") == "fail"


async def test_two_records_are_as_good_as_none(names: DnsServer) -> None:
    names.replies[DOMAIN] = txt("v=spf1 -all", "v=spf1 ip4:8.8.4.4 -all")
    broken = await finding(names, OURS)
    assert broken.status is Verdict.ERROR and "not the only one" in broken.explanation


@pytest.mark.parametrize("reply", [None, txt("v=spf10 -all"), txt("v=spf2.0/pra -all"), Reply()])
async def test_without_a_record_the_one_to_set_names_the_relay(
    names: DnsServer, reply: Reply | None
) -> None:
    if reply is not None:
        names.replies[DOMAIN] = reply
    missing = await finding(names, OURS, OURS6)
    assert missing.status is Verdict.ERROR and missing.record is not None
    assert (missing.record.name, missing.record.type) == (DOMAIN, "TXT")
    assert missing.record.value == f"v=spf1 ip4:{OURS} ip6:{OURS6} ~all"
    # what we ask for is what lets the relay through
    for address in (OURS, OURS6):
        assert await found(names, missing.record.value, address) == "pass"
    del names.replies[DOMAIN]
    of_nobody = await finding(names)
    assert of_nobody.record is not None and of_nobody.record.value is None


async def test_a_record_that_names_the_relay_is_right_and_another_is_asked_about(
    names: DnsServer,
) -> None:
    names.replies[DOMAIN] = txt(f"v=spf1 ip4:{OURS} -all")
    assert (await finding(names, OURS)).status is Verdict.OK
    assert (await finding(names)).status is Verdict.OK
    other = await finding(names, OURS, OURS6)
    assert other.status is Verdict.WARNING and f"ip6:{OURS6}" in other.explanation


@pytest.mark.parametrize("record", ["v=spf1 +all", "v=spf1 all", "v=spf1 ip4:0.0.0.0/0 -all"])
async def test_a_record_that_lets_everybody_through_is_an_error(
    names: DnsServer, record: str
) -> None:
    names.replies[DOMAIN] = txt(record)
    assert (await finding(names, OURS)).status is Verdict.ERROR


async def test_dns_that_does_not_answer_is_no_verdict(names: DnsServer) -> None:
    names.replies[DOMAIN] = Reply(rcode=dns.rcode.SERVFAIL)
    with pytest.raises(DependencyDownError):
        await finding(names, OURS)


async def test_what_the_record_says_is_told_to_nobody(names: DnsServer) -> None:
    names.replies |= {
        DOMAIN: Reply(txt("v=spf1 include:secret.internal -all").texts, alias="internal.example"),
        "secret.internal": txt("v=spf1 ip4:10.20.30.40 -all"),
    }
    for said in (await finding(names, OURS), await finding(names)):
        assert "secret" not in said.explanation and "10.20" not in said.explanation


async def test_each_question_is_asked_once_and_not_too_many_are(names: DnsServer) -> None:
    asking = Names(settings(names))
    await asyncio.gather(*(asking.texts(f"h{number % 7}.example") for number in range(50)))
    assert len({name for _, name in names.asked}) == len(names.asked) == 7
    with pytest.raises(DependencyDownError, match="400 questions at most"):
        for number in range(401):
            await asking.texts(f"n{number}.example")
    await asking.close()
