"""The server that takes bounces, with real clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiosmtplib
import pytest
from aiosmtplib import SMTP, SMTPRecipientRefused, SMTPResponseException

from connectors.bounces.listener import Bounds, listening
from connectors.bounces.verp import parts
from streams.errors import DependencyDownError
from tests.connectors.bounces import samples
from tests.connectors.bounces.samples import DOMAIN, ID, IDS, OTHER, PATH, TENANT
from tests.eventually import eventually

_PATIENCE = 300.0  # seconds


@dataclass
class Kept:
    """What was taken; `is_down`: nothing is, for now; `knows`: the domains are known."""

    port: int = 0
    mails: list[tuple[str, bytes]] = field(default_factory=list)
    is_down: bool = False
    knows: bool = True

    def judge(self, message_id: str, domain: str) -> bool | None:
        if not self.knows:
            return None
        return domain == DOMAIN and IDS.owner(message_id, [TENANT]) is not None

    async def take(self, raw: bytes, recipient: str) -> None:
        if self.is_down:
            raise DependencyDownError("Kafka does not answer.")
        self.mails.append((recipient, raw))


@asynccontextmanager
async def server(bounds: Bounds | None = None) -> AsyncIterator[Kept]:
    kept = Kept()
    async with listening("127.0.0.1", 0, "mx.example", kept.judge, kept.take, bounds) as kept.port:
        yield kept


def client(kept: Kept) -> SMTP:
    return SMTP(hostname="127.0.0.1", port=kept.port, timeout=_PATIENCE, start_tls=False)


async def send(kept: Kept, to: str = PATH, raw: bytes = samples.POSTFIX) -> None:
    """Raises the refusal."""
    async with client(kept) as smtp:
        await smtp.sendmail("", [to], raw)


async def test_a_bounce_is_taken_as_it_is() -> None:
    async with server() as kept:
        await send(kept)
        await send(kept, PATH.upper())
    assert [parts(to) for to, _ in kept.mails] == [(ID, DOMAIN)] * 2
    assert kept.mails[0][1].strip() == samples.POSTFIX.strip()


@pytest.mark.parametrize(
    "to",
    [
        "ana@example.com",
        "postmaster@bounce.acme.example",
        f"b.{ID}@other.example",
        f"b.{ID[:-1]}{'0' if ID[-1] != '0' else '1'}@{DOMAIN}",
        f"b.{IDS.make(42, 7, 'globex', 0)}@{DOMAIN}",
        f"x{PATH}",
    ],
)
async def test_no_other_address_is_one(to: str) -> None:
    async with server() as kept:
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
            await send(kept, to)
        [one] = refused.value.recipients
        assert isinstance(one, SMTPRecipientRefused) and one.code == 550
    assert kept.mails == []


async def test_it_says_yes_only_when_the_event_is_kept() -> None:
    async with server() as kept:
        kept.is_down = True
        with pytest.raises(SMTPResponseException) as refused:
            await send(kept)
        assert refused.value.code == 451 and "Kafka" not in refused.value.message
        kept.is_down = False
        await send(kept)
    assert len(kept.mails) == 1


async def test_while_domains_are_not_known_nothing_is_refused_for_good() -> None:
    async with server() as kept:
        kept.knows = False
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
            await send(kept)
        assert refused.value.recipients[0].code == 451


async def test_one_mail_is_about_one_message() -> None:
    async with server() as kept, client(kept) as smtp:
        await smtp.mail("")
        await smtp.rcpt(PATH)
        with pytest.raises(SMTPRecipientRefused) as refused:
            await smtp.rcpt(f"b.{OTHER}@{DOMAIN}")
        assert refused.value.code == 452


async def test_a_mail_that_is_too_large_is_refused() -> None:
    async with server(Bounds(size=20_000)) as kept:
        with pytest.raises(SMTPResponseException) as refused:
            await send(kept, raw=samples.POSTFIX + b"x: y\r\n" * 5_000)
        assert refused.value.code == 552
        await send(kept)
    assert len(kept.mails) == 1


async def test_an_address_has_so_many_sessions_at_once() -> None:
    async with server(Bounds(sessions_of_one=2)) as kept, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(client(kept))
        reader, writer = await asyncio.open_connection("127.0.0.1", kept.port)
        assert (await reader.read()).startswith(b"421 4.3.2")
        writer.close()
        await stack.aclose()
        await eventually(lambda: _sent(kept))
    assert len(kept.mails) == 1


async def _sent(kept: Kept) -> bool:
    try:
        await send(kept)
    except (SMTPResponseException, aiosmtplib.SMTPException):
        return False
    return True


async def test_a_session_that_never_ends_is_ended() -> None:
    async with server(Bounds(longest=0.2)) as kept:
        reader, writer = await asyncio.open_connection("127.0.0.1", kept.port)
        with suppress(ConnectionError):
            assert (await reader.read()).startswith(b"220 ")  # and the end
        writer.close()


async def test_mails_and_mistakes_of_an_address_are_limited_in_a_minute() -> None:
    async with server(Bounds(mails_of_one=2)) as kept:
        for _ in range(2):
            await send(kept)
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
            await send(kept)
        assert refused.value.recipients[0].code == 450
    async with server(Bounds(mistakes_of_one=3)) as kept:
        for code in (550, 550, 550, 450):
            with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
                await send(kept, "ana@example.com")
            assert refused.value.recipients[0].code == code


async def test_it_offers_neither_logins_nor_news_of_who_exists() -> None:
    async with server() as kept, client(kept) as smtp:
        await smtp.ehlo()
        assert not smtp.supports_extension("auth") and not smtp.supports_extension("starttls")
        for line in (b"VRFY ana@example.com", b"EXPN list", b"AUTH PLAIN AAAA", b"TURN"):
            assert (await smtp.execute_command(line)).code >= 500
