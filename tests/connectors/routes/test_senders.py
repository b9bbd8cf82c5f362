"""DKIM, DMARC, MX and PTR, from a name server on loopback."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from connectors.routes.findings import Finding, Record, Verdict
from connectors.routes.names import Names
from connectors.routes.reverse import ptr
from connectors.routes.senders import dkim, dmarc, mx
from tests.connectors.routes.given import DOMAIN, settings
from tests.dns_server import DnsServer, Reply, others, txt

Ask = Callable[..., Awaitable[Finding]]
KEY = f"s1._domainkey.{DOMAIN}"


async def found(names: DnsServer, ask: Ask, *words: Any) -> Finding:
    asking = Names(settings(names))
    try:
        return await ask(asking, *words)
    finally:
        await asking.close()


@lru_cache
def key(kind: str) -> str:
    """A public key as a DKIM record holds it."""
    if kind == "ed25519":
        own = ed25519.Ed25519PrivateKey.generate().public_key()
        return b64encode(own.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    public: Any = (
        ec.generate_private_key(ec.SECP256R1()).public_key()
        if kind == "ec"
        else rsa.generate_private_key(65_537, int(kind)).public_key()
    )
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(der).decode()


@pytest.mark.parametrize(
    ("kind", "record", "status"),
    [
        ("2048", "v=DKIM1; k=rsa; p={}", Verdict.OK),
        ("2048", "p={}", Verdict.OK),
        ("2048", "v=DKIM1; t=s; p={};", Verdict.OK),
        ("1024", "v=DKIM1; p={}", Verdict.WARNING),
        ("ed25519", "v=DKIM1; k=ed25519; p={}", Verdict.WARNING),
        ("ec", "v=DKIM1; k=rsa; p={}", Verdict.ERROR),
        ("2048", "v=DKIM1; k=ed25519; p={}", Verdict.ERROR),
        ("2048", "v=DKIM1; k=dsa; p={}", Verdict.ERROR),
        ("2048", "v=DKIM2; p={}", Verdict.ERROR),
        ("2048", "v=DKIM1; p={}x", Verdict.ERROR),
        ("2048", "v=DKIM1; p=", Verdict.ERROR),
        ("2048", "v=DKIM1; k=rsa", Verdict.ERROR),
        ("2048", "the key is {}", Verdict.ERROR),
    ],
)
async def test_a_key_is_found_and_judged(
    names: DnsServer, kind: str, record: str, status: Verdict
) -> None:
    names.replies[KEY] = txt(record.format(key(kind)))
    judged = await found(names, dkim, DOMAIN, "s1")
    assert judged.status is status and key(kind) not in judged.explanation
    assert (judged.record is None) is (status is Verdict.OK)
    if judged.record is not None:
        assert judged.record == Record(KEY, "TXT", None)


async def test_a_key_may_be_split_and_have_spaces_and_stand_behind_an_alias(
    names: DnsServer,
) -> None:
    text = f"v=DKIM1; k=rsa; p={key('2048')[:100]} {key('2048')[100:]}"
    halves = (text[:200].encode(), text[200:].encode())
    names.replies[KEY] = Reply((halves,), alias="keys.provider.example")
    assert (await found(names, dkim, DOMAIN, "s1")).status is Verdict.OK


async def test_no_key_and_two_keys_are_errors(names: DnsServer) -> None:
    assert "no DKIM key" in (await found(names, dkim, DOMAIN, "s1")).explanation
    names.replies[KEY] = txt(f"p={key('2048')}", f"p={key('1024')}")
    two = await found(names, dkim, DOMAIN, "s1")
    assert two.status is Verdict.ERROR and "several" in two.explanation


@pytest.mark.parametrize(
    ("replies", "status", "says"),
    [
        ({"_dmarc.news.acme.example": "v=DMARC1; p=none"}, Verdict.OK, "`none`"),
        (
            {"_dmarc.acme.example": "v=DMARC1;p=REJECT; rua=mailto:a@b.c"},
            Verdict.OK,
            "reject",
        ),
        ({"_dmarc.acme.example": "v = DMARC1 ; p = quarantine"}, Verdict.OK, "quarantine"),
        ({"_dmarc.example": "v=DMARC1; p=none"}, Verdict.ERROR, "no DMARC record"),
        ({"_dmarc.acme.example": "p=none; v=DMARC1"}, Verdict.ERROR, "no DMARC record"),
        ({"_dmarc.acme.example": "v=DMARC1; p=maybe"}, Verdict.ERROR, "no policy"),
        ({"_dmarc.acme.example": "v=DMARC1; sp=none"}, Verdict.ERROR, "no policy"),
        ({"acme.example": "v=DMARC1; p=none"}, Verdict.ERROR, "no DMARC record"),
        ({}, Verdict.ERROR, "no DMARC record"),
    ],
)
async def test_the_policy_is_that_of_the_domain_or_of_one_above(
    names: DnsServer, replies: dict[str, str], status: Verdict, says: str
) -> None:
    names.replies |= {name: txt(value) for name, value in replies.items()}
    judged = await found(names, dmarc, "news.acme.example")
    assert judged.status is status and says in judged.explanation
    if status is Verdict.ERROR:  # what we ask for is right
        assert judged.record is not None and judged.record.value is not None
        names.replies[judged.record.name] = txt(judged.record.value)
        assert (await found(names, dmarc, "news.acme.example")).status is Verdict.OK


async def test_two_policies_are_an_error(names: DnsServer) -> None:
    names.replies[f"_dmarc.{DOMAIN}"] = txt("v=DMARC1; p=none", "v=DMARC1; p=reject")
    judged = await found(names, dmarc, DOMAIN)
    assert judged.status is Verdict.ERROR and "several" in judged.explanation


@pytest.mark.parametrize(
    ("reply", "status", "says"),
    [
        (others("MX 10 mx.acme.example."), Verdict.OK, "has a server"),
        (others("A 8.8.4.4"), Verdict.WARNING, "no MX record"),
        (others("AAAA 2001:4860:4860::8844"), Verdict.WARNING, "no MX record"),
        (others("MX 0 ."), Verdict.ERROR, "takes no mail"),
        (Reply(), Verdict.ERROR, "no server"),
        (None, Verdict.ERROR, "no server"),
    ],
)
async def test_a_domain_takes_mail_or_not(
    names: DnsServer, reply: Reply | None, status: Verdict, says: str
) -> None:
    if reply is not None:
        names.replies[DOMAIN] = reply
    judged = await found(names, mx, DOMAIN)
    assert judged.status is status and says in judged.explanation
    assert judged.record == (None if status is Verdict.OK else Record(DOMAIN, "MX", None))


@pytest.mark.parametrize(
    ("address", "pointer", "forward"),
    [
        ("8.8.4.4", "4.4.8.8.in-addr.arpa", "A 8.8.4.4"),
        (
            "2001:4860:4860::8844",
            "4.4.8.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.8.4.0.6.8.4.1.0.0.2.ip6.arpa",
            "AAAA 2001:4860:4860:0:0:0:0:8844",
        ),
    ],
)
async def test_an_address_has_a_name_that_leads_back_to_it(
    names: DnsServer, address: str, pointer: str, forward: str
) -> None:
    without = await found(names, ptr, "relay.acme.example", address)
    assert without.status is Verdict.WARNING and "has no name" in without.explanation
    assert without.record == Record(pointer, "PTR", "relay.acme.example")
    names.replies[pointer] = others("PTR other.example.", "PTR relay.acme.example.")
    elsewhere = await found(names, ptr, "relay.acme.example", address)
    assert elsewhere.status is Verdict.WARNING and "lead back" in elsewhere.explanation
    names.replies["relay.acme.example"] = others(forward)
    assert (await found(names, ptr, "relay.acme.example", address)).status is Verdict.OK
